"""Where the toolkit and the compiled policies are."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def bundled_root() -> Path:
    """Return the directory that holds ``compiled/`` and ``rego/``: the checkout, or the installed package's own."""
    bundled = _PACKAGE / "_bundled"
    return bundled if bundled.is_dir() else _PACKAGE.parent


def find_toolkit(chosen: Path | None = None) -> Path | None:
    """Return the toolkit file: the chosen one, the checkout's, the installed one; None when there is none.

    A chosen file is returned even when it is not there, so that the message
    about it names what was chosen and not something else.
    """
    if chosen is not None:
        return chosen
    candidates = (
        _PACKAGE.parent / "compiled" / "opa-toolkit.wasm",
        _PACKAGE / "_bundled" / "compiled" / "opa-toolkit.wasm.xz",
        _PACKAGE / "_bundled" / "compiled" / "opa-toolkit.wasm",
    )
    return next((path for path in candidates if path.is_file()), None)
