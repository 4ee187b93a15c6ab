"""Knows callers by the client certificate that a trusted proxy has checked."""

import re
from collections.abc import Mapping
from typing import Final

from policy_server.auth.proxies import Proxies
from policy_server.model.principal import Grant, Principal, parse_grant

FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_PREFIX: Final = re.compile(r"sha-?256[:=]", re.IGNORECASE)


def normal_identity(text: str) -> str:
    """Write a fingerprint one way whatever its spelling; a subject stays as it is."""
    text = text.strip()
    bare = _PREFIX.sub("", text, count=1).replace(":", "").lower()
    return f"sha256:{bare}" if FINGERPRINT.fullmatch(bare) else text


def parse_known(text: str) -> dict[str, tuple[Grant, ...]]:
    """Read ``identity => scopes``, several separated by ``;`` or lines; ValueError says which cannot be read."""
    found = {}
    for entry in re.split(r"[;\n]", text):
        identity, arrow, scopes = (part.strip() for part in entry.rpartition("=>"))
        if not entry.strip():
            continue
        if not (identity and arrow and scopes):
            raise ValueError("subject => scopes, several separated by semicolons or lines")
        found[normal_identity(identity)] = tuple(parse_grant(scope) for scope in scopes.split())
    return found


class Certificates:
    """Maps subjects and SHA-256 fingerprints to what their holders may do.

    SECURITY: the headers are read only when the socket's peer is a trusted proxy; from
    anybody else they are text that anybody can write. The proxy must set both for
    every request, so that a caller's own never pass.
    """

    def __init__(
        self,
        known: Mapping[str, tuple[Grant, ...]],
        proxies: Proxies,
        *,
        subject_header: str,
        fingerprint_header: str,
    ) -> None:
        """Take the identities, and the names of the two headers."""
        self._known = {normal_identity(identity): grants for identity, grants in known.items()}
        self._proxies = proxies
        self._headers = tuple(f"HTTP_{name.upper().replace('-', '_')}" for name in (fingerprint_header, subject_header))

    def offered(self, environ: Mapping[str, object]) -> tuple[str, ...]:
        """Return what a trusted proxy says about the certificate: fingerprint, then subject."""
        if not self._known or not self._proxies.is_trusted(environ):
            return ()
        fingerprint, subject = (str(environ.get(header) or "").strip() for header in self._headers)
        found = normal_identity(fingerprint)
        # SECURITY: each header names identities of its own kind only; otherwise a certificate whose
        # common name is another's fingerprint would pass for that other.
        subject = "" if normal_identity(subject).startswith("sha256:") else subject
        return tuple(text for text in (found if found.startswith("sha256:") else "", subject) if text)

    def identify(self, environ: Mapping[str, object]) -> Principal | None:
        """Return who holds the certificate; None without one that is known."""
        for identity in self.offered(environ):
            grants = self._known.get(identity)
            if grants is not None:
                return Principal(f"cert:{identity}", grants)
        return None
