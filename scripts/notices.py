"""Write THIRD-PARTY-NOTICES.md: what is inside of what we ship, and under which licences.

Needs Go, with the toolkit's modules downloaded (`scripts/setup` does that), and Swagger UI unpacked.
"""

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "policy_server" / "toolkit" / "go"
SWAGGER = ROOT / "policy_server" / "api" / "assets" / "swagger"
TARGET = ROOT / "THIRD-PARTY-NOTICES.md"
HEAD = """# Third-party notices

Made by `scripts/notices.py`. This product is under the Apache License 2.0 (`LICENSE`). It ships the following works
of others; where a licence is the Apache License 2.0, its text is the one in `LICENSE`.

The Python packages that the server needs are not part of what we ship; `docs/dependencies.md` lists them.
"""
RUNTIME = """
## Inside compiled policies

Every policy that OPA compiles to WebAssembly carries OPA's runtime (Apache License 2.0, The OPA Authors), which holds
parts of these works:

- **mpdecimal**, Copyright (c) 2008-2016 Stefan Krah, BSD 2-Clause License
- **RE2**, Copyright (c) 2009 The RE2 Authors, BSD 3-Clause License
- **musl libc**, Copyright (c) 2005-2020 Rich Felker and others, MIT License
- **libc++ and libc++abi** of the LLVM Project, Apache License 2.0 with LLVM exceptions
"""


def modules() -> dict[str, tuple[str, Path]]:
    """Return the Go modules inside the toolkit: path → version, directory."""
    command = ["go", "list", "-deps", "-json=Module", "."]
    environ = {"GOOS": "wasip1", "GOARCH": "wasm"}
    listed = subprocess.run(
        ["env", *(f"{k}={v}" for k, v in environ.items()), *command],
        cwd=SOURCE,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    decoder, found, at = json.JSONDecoder(), {}, 0
    while at < len(listed.rstrip()):
        item, at = decoder.raw_decode(listed, at)
        at += len(listed[at:]) - len(listed[at:].lstrip())
        module = item.get("Module", {})
        if "Version" in module:
            found[module["Path"]] = (module["Version"], Path(module["Dir"]))
    return dict(sorted(found.items()))


def texts(directory: Path, pattern: str = r"(licen[cs]e|notice|copying).*") -> list[tuple[str, str]]:
    """Return names and texts of the licence files in a directory."""
    files = sorted(path for path in directory.iterdir() if re.fullmatch(pattern, path.name, re.IGNORECASE))
    return [(path.name, path.read_text(encoding="utf-8").strip()) for path in files]


def section(title: str, found: list[tuple[str, str]]) -> str:
    """Write one work: the Apache License by name, every other text in full."""
    lines = [f"\n### {title}\n"]
    for name, text in found:
        if "Apache License" in text and "TERMS AND CONDITIONS FOR USE" in text:
            lines.append("\nApache License 2.0.\n")
        else:
            lines.append(f"\n{name}:\n\n```text\n{text}\n```\n")
    return "".join(lines)


def main() -> None:
    """Write the file."""
    goroot = subprocess.run(["go", "env", "GOROOT"], check=True, capture_output=True, text=True).stdout.strip()
    parts = [HEAD, "\n## Inside OPA's toolkit (`opa-toolkit.wasm`)\n"]
    parts.append(section("Go runtime and standard library", texts(Path(goroot), r"LICENSE")))
    for path, (version, directory) in modules().items():
        parts.append(section(f"{path} {version}", texts(directory)))
        if path.endswith("/opa"):
            for inner in sorted(directory.glob("internal/**/*")):
                if re.fullmatch(r"(licen[cs]e|notice).*", inner.name, re.IGNORECASE) and inner.is_file():
                    title = f"{path}/{inner.parent.relative_to(directory)}"
                    parts.append(section(title, [(inner.name, inner.read_text(encoding="utf-8").strip())]))
    parts.append(RUNTIME)
    parts.append("\n## Swagger UI (`/docs`)\n" + section("swagger-ui", texts(SWAGGER)))
    TARGET.write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
