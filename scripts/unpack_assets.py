"""Take Swagger UI and the Compose schema out of the wheels they are published in."""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SWAGGER = ROOT / "policy_server" / "api" / "assets" / "swagger"
WANTED = ("LICENSE", "VERSION", "favicon-16x16.png", "favicon-32x32.png", "swagger-ui-bundle.js", "swagger-ui.css")


def write(target: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.new")
    aside.write_bytes(content)
    aside.replace(target)


def main(wheels: Path) -> None:
    """Unpack what we use, and nothing else, from the wheels in a directory."""
    with zipfile.ZipFile(next(wheels.glob("flask_swagger_ui-5.34.0-*.whl"))) as wheel:
        for name in WANTED:
            write(SWAGGER / name, wheel.read(f"flask_swagger_ui/dist/{name}"))
    with zipfile.ZipFile(next(wheels.glob("check_jsonschema-0.39.0-*.whl"))) as wheel:
        schema = wheel.read("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
        write(ROOT / ".cache" / "compose-spec.json", schema)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
