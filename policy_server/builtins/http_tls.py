"""Where the certificates and keys of ``http.send`` come from: the request, listed files, listed variables."""

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from policy_server.builtins.http_request import HttpRequest
from policy_server.model.errors import FetchError
from policy_server.net.tls import TlsOptions, tls_context

_LARGEST: Final = 1 << 20


class Credentials:
    """Reads what the operator lets policies read, and nothing else.

    ``files`` are files, or directories with everything below them; ``variables`` the
    environment variables that are listed, with their values.
    """

    def __init__(self, files: Sequence[Path] = (), variables: Mapping[str, str] | None = None) -> None:
        """Take what is listed; nothing is read yet."""
        self._files = tuple(files)
        self._variables = dict(variables or {})

    def context(self, request: HttpRequest) -> ssl.SSLContext:
        """Return the TLS context a request asks for; FetchError when something may not or cannot be read."""
        authorities = [text for _, text in self._texts(request, "tls_ca_cert")]
        certificates = dict(self._texts(request, "tls_client_cert"))
        keys = dict(self._texts(request, "tls_client_key"))
        return tls_context(
            TlsOptions(
                authorities=tuple(text.replace("\\n", "\n") for text in authorities),
                system=request.system_certificates,
                # As in OPA, a certificate needs the key that was given in the same way.
                identities=tuple((certificates[source], keys[source]) for source in certificates if source in keys),
                verify=request.verify,
            )
        )

    def _texts(self, request: HttpRequest, name: str) -> list[tuple[str, str]]:
        found = []
        if name in request.tls:
            found.append(("", request.tls[name]))
        if f"{name}_file" in request.tls:
            found.append(("_file", self._file(f"{name}_file", request.tls[f"{name}_file"])))
        if f"{name}_env_variable" in request.tls:
            found.append(("_env", self._variable(f"{name}_env_variable", request.tls[f"{name}_env_variable"])))
        return found

    def _variable(self, key: str, name: str) -> str:
        try:
            return self._variables[name]
        except KeyError:
            raise FetchError(f"{key}: POLICY_HTTP_SEND_TLS_ENV does not list {name!r}, or it is not set.") from None

    def _file(self, key: str, name: str) -> str:
        # SECURITY: judged after links are followed; whether a file that is not listed exists is not told.
        try:
            path = Path(name).resolve()
            listed = any(path.is_relative_to(each.resolve()) for each in self._files)
        except (OSError, ValueError, RuntimeError):
            listed = False
        if not listed:
            raise FetchError(f"{key}: POLICY_HTTP_SEND_TLS_FILES does not list {name!r}.")
        try:
            with path.open("rb") as file:
                return file.read(_LARGEST).decode("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise FetchError(f"{key}: {name} cannot be read, or is not PEM.") from error
