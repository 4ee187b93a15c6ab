"""Pictures of the right size."""

import base64
import io
import zlib

import pytest
from PIL import Image

from policy_server.pexip.avatar import avatar_size, render_avatar


def encoded(image: Image.Image, form: str, **options: object) -> str:
    """Return a picture as Base64 text."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return base64.b64encode(out.getvalue()).decode()


def opened(jpeg: bytes | None) -> Image.Image:
    """Open what was rendered."""
    assert jpeg is not None
    image = Image.open(io.BytesIO(jpeg))
    image.load()
    return image


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(100, 100), (40, 60), (1, 1), (1024, 3)])
def test_a_picture_has_exactly_the_size_asked_for(form: str, size: tuple[int, int]) -> None:
    """Whatever the picture was, Pexip gets an RGB JPEG of its width and height."""
    source = encoded(Image.new("RGB", (300, 200), "navy"), form)

    image = opened(render_avatar(source, width=size[0], height=size[1]))

    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", size)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
def test_every_kind_of_png_becomes_rgb(mode: str) -> None:
    """Grey, palettes and transparency are drawn as colours."""
    source = encoded(Image.new(mode, (30, 30)), "PNG")

    assert opened(render_avatar(source, width=20, height=20)).mode == "RGB"


def test_a_cmyk_jpeg_becomes_rgb() -> None:
    """Pexip refuses the colours of printers."""
    source = encoded(Image.new("CMYK", (30, 30), (0, 255, 255, 0)), "JPEG")

    red, green, blue = opened(render_avatar(source, width=10, height=10)).getpixel((5, 5))

    assert red > 200
    assert max(green, blue) < 80


def test_what_is_transparent_becomes_white() -> None:
    """JPEG knows no transparency; black silhouettes help nobody."""
    source = encoded(Image.new("RGBA", (30, 30), (255, 0, 0, 0)), "PNG")

    assert min(opened(render_avatar(source, width=10, height=10)).getpixel((5, 5))) > 250


def test_the_middle_of_a_wide_picture_is_shown() -> None:
    """It is scaled to cover the square, and the sides are cut off."""
    wide = Image.new("RGB", (300, 100), "white")
    wide.paste("blue", (100, 0, 200, 100))

    image = opened(render_avatar(encoded(wide, "PNG"), width=50, height=50))

    assert all(image.getpixel(corner)[0] < 60 for corner in [(2, 2), (47, 2), (2, 47), (47, 47)])


def test_a_turned_photo_is_shown_upright() -> None:
    """Cameras write how they were held; Pexip does not look there."""
    photo = Image.new("RGB", (80, 80), "white")
    photo.paste("black", (0, 0, 80, 40))
    exif = Image.Exif()
    exif[0x0112] = 3

    image = opened(render_avatar(encoded(photo, "JPEG", exif=exif), width=80, height=80))

    assert image.getpixel((40, 10))[0] > 200
    assert image.getpixel((40, 70))[0] < 50


@pytest.mark.parametrize(("wanted", "given"), [(None, 100), (0, 100), (-5, 100), (1, 1), (1024, 1024), (10**9, 1024)])
def test_silly_sizes_are_made_sensible(wanted: int | None, given: int) -> None:
    """Nothing or nonsense is 100 pixels, and 1024 are enough."""
    assert avatar_size(wanted) == given


def test_a_data_url_and_line_breaks_are_read() -> None:
    """Images are pasted in many forms."""
    source = encoded(Image.new("RGB", (9, 9)), "PNG")
    pasted = "data:image/png;base64," + "\n".join(source[i : i + 40] for i in range(0, len(source), 40))

    assert render_avatar(pasted, width=5, height=5) is not None


def _bomb() -> str:
    """Return a small PNG that claims 60,000 by 60,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    size = (60_000).to_bytes(4, "big")
    header = chunk(b"IHDR", size + size + b"\x08\x02\x00\x00\x00")
    return base64.b64encode(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    ).decode()


@pytest.mark.parametrize(
    "source",
    [
        "",
        "not base64!",
        "aGVsbG8=",
        base64.b64encode(b"GIF89a").decode(),
        encoded(Image.new("RGB", (9, 9)), "GIF"),
        encoded(Image.new("RGB", (90, 90)), "PNG")[:60],
        _bomb(),
        "A" * (9 << 20),
    ],
)
def test_what_cannot_be_drawn_is_no_picture(source: str) -> None:
    """Damaged, huge or foreign images cost nothing but the picture."""
    assert render_avatar(source, width=10, height=10) is None
