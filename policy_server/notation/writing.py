"""Values as text again, the way their readers take them, and what is shown of secrets."""

import json
import re
from typing import Final, Protocol, runtime_checkable

from policy_server.notation.credentials import COVERED, SecretStr
from policy_server.notation.networks import STORES

_PASSWORD: Final = re.compile(r"(?<=://)([^/?#@:]*):(?:[^/?#]*)(?=@)")
_SECRET_PART: Final = re.compile(
    r"(?<=[?&])((?:ssl)?password|tlsCertificateKeyFilePassword|authMechanismProperties)=[^&]*", re.IGNORECASE
)


@runtime_checkable
class Written(Protocol):
    """A value that knows how it is written."""

    def written(self, *, secrets: bool) -> str:
        """Return the text its reader takes; secrets are covered unless asked for."""


def shown(value: object) -> str:
    """Write a value the way its reader takes it, secrets included."""
    if isinstance(value, Written):
        return value.written(secrets=True)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, list | tuple):
        return ",".join(_pair(item) if isinstance(item, tuple) else str(item) for item in value)
    if value is None:
        return ""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def covered(value: object) -> str:
    """Write a secret for people: an address without its password, tables without theirs, anything else not at all."""
    if isinstance(value, Written):
        return value.written(secrets=False)
    if isinstance(value, str) and value.startswith((*STORES, "memory:")):
        return _SECRET_PART.sub(rf"\1={COVERED}", _PASSWORD.sub(rf"\1:{COVERED}", value))
    return COVERED if value else shown(value)


def _pair(pair: tuple[object, object]) -> str:
    key, value = pair
    if isinstance(value, tuple):
        return f"{key}={'|'.join(value)}" if value else str(key)
    return f"{key}:{value.get_secret_value()}" if isinstance(value, SecretStr) else f"{key}={value}"


def short(value: object) -> str:
    """Quote what was given, for a message; long values are cut."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = ",".join(value)  # options that were repeated, as a variable would hold them
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return repr(text if len(text) <= 60 else text[:57] + "…")
