"""Pictures of the size Pexip asks for."""

import base64
import binascii
import io
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

DEFAULT_SIZE: Final = 100
LARGEST_SIZE: Final = 1024
LARGEST_SOURCE: Final = 8 << 20
"""Base64 characters of an image we look at."""
LARGEST_PIXELS: Final = 16_000_000
"""Pixels of an image we unpack; a small file can claim billions."""


def avatar_size(wanted: int | None) -> int:
    """Return the pixels to make of what was asked for; nothing or nonsense is 100, 1024 is the most."""
    if wanted is None or wanted < 1:
        return DEFAULT_SIZE
    return min(wanted, LARGEST_SIZE)


def _decode(text: str) -> bytes | None:
    if len(text) > LARGEST_SOURCE:
        return None
    _, comma, rest = text.partition(";base64,")
    try:
        return base64.b64decode("".join((rest if comma else text).split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _flatten(image: Image.Image) -> Image.Image:
    """Make it RGB; what is transparent becomes white."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return image.convert("RGB")


def render_avatar(image: str, *, width: int | None, height: int | None) -> bytes | None:
    """Return a JPEG of exactly the wanted size, or None when it cannot be made.

    ``image`` is a JPEG or PNG in Base64. It is scaled to cover the size and cropped
    around its middle. Damaged, huge or other pictures give None.
    """
    data = _decode(image)
    if not data:
        return None
    size = (avatar_size(width), avatar_size(height))
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > LARGEST_PIXELS:
                return None
            picture.draft("RGB", size)
            upright = _flatten(ImageOps.exif_transpose(picture))
        fitted = ImageOps.fit(upright, size, Image.Resampling.LANCZOS)
        out = io.BytesIO()
        fitted.save(out, "JPEG", quality=88)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return None
    return out.getvalue()
