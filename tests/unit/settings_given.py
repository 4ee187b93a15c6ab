"""Settings as tests give them."""

from pathlib import Path

from policy_server.settings import Settings, load_settings


def load(environ: dict[str, str] | None = None, **others: object) -> Settings:
    """Load with an environment that holds nothing but what the test says."""
    return load_settings(environ={"HOME": "/home/kari"} | (environ or {}), **others)  # type: ignore[arg-type]


def write(directory: Path, text: str) -> Path:
    """Write a configuration file."""
    file = directory / "policy.toml"
    file.write_text(text, encoding="utf-8")
    return file
