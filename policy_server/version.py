"""Name this release, once, for the wheel, the CLI and the API."""

VERSION = "0.1.0"
