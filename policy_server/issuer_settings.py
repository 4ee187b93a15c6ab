"""What is set about an issuer of JSON Web Tokens, and how it is written."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from policy_server.auth.rules import ALGORITHMS
from policy_server.notation import credentials, networks, paths, texts, writing
from policy_server.notation.kinds import Kind
from policy_server.sources.git_config import NAME

_WANTED: Final = (
    "issuers by name, each with at least issuer, audiences and limit: "
    '{"corp": {"issuer": "https://…", "audiences": "policies", "limit": "read, publish:mine"}}'
)
_NEEDED: Final = ("issuer", "audiences", "limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    """One issuer.

    ``issuer`` is what ``iss`` says. Its keys are at ``jwk_url`` or in ``jwk_file``, else where its discovery document
    says (OpenID Connect Discovery 1.0). ``limit`` are scopes that bound whatever its tokens claim. ``scope_claim`` is
    the way to the claim, name by name. ``roles`` make scopes of its words; when there are any, no other word counts.
    ``ca_file`` is trusted, instead of the usual authorities, for its addresses.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...]
    limit: tuple[str, ...]
    jwk_url: str = ""
    jwk_file: Path | None = None
    algorithms: tuple[str, ...] = ALGORITHMS
    scope_claim: tuple[str, ...] = ("scope",)
    roles: tuple[tuple[str, tuple[str, ...]], ...] = ()
    default_scopes: tuple[str, ...] = ()
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class TokenIssuers:
    """All of them; written as JSON."""

    items: tuple[TokenIssuer, ...] = ()

    def written(self, *, secrets: bool) -> str:
        """Return the JSON its reader takes; there are no secrets in it."""
        del secrets
        return json.dumps({item.name: dict(_written(item)) for item in self.items}) if self.items else ""


def read_issuers(value: object) -> TokenIssuers:
    """Read tables or JSON; ValueError says which issuer has what wrong."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except ValueError as error:
            raise ValueError(_WANTED) from error
    if not isinstance(value, Mapping):
        raise ValueError(_WANTED)  # noqa: TRY004 - what readers of settings raise
    items = tuple(_issuer(str(name), table) for name, table in value.items())
    for item in items:
        twins = [each.name for each in items if each.issuer == item.issuer]
        if len(twins) > 1:
            raise ValueError(f"different issuers, but {' and '.join(twins)} are both {item.issuer}")
    return TokenIssuers(items)


TOKEN_ISSUERS: Final = Kind("tables by name in the file; in the variable the same as JSON", read_issuers)


def clashes(values: Mapping[str, object]) -> list[str]:
    """Return a sentence for each way around a limit that the settings for issuers without one would leave."""
    issuers = values.get("token_issuers")
    plain = values.get("auth_jwk_url") or values.get("auth_jwk_file")
    if not isinstance(issuers, TokenIssuers) or not issuers.items or not plain:
        return []
    names = cast("tuple[str, ...]", values.get("auth_issuers") or ())
    if not names:
        return ["POLICY_AUTH_ISSUERS must say whose tokens POLICY_AUTH_JWK_URL is for, beside POLICY_TOKEN_ISSUERS"]
    return [
        f"{item.issuer} is in POLICY_AUTH_ISSUERS and is {item.name} of POLICY_TOKEN_ISSUERS; once is enough"
        for item in issuers.items
        if item.issuer in names
    ]


def _issuer(name: str, table: object) -> TokenIssuer:
    if not NAME.fullmatch(name):
        raise ValueError(f"issuers whose names are letters, digits, _, . and -, unlike {writing.short(name)}")
    if not isinstance(table, Mapping):
        raise ValueError(_WANTED)  # noqa: TRY004 - as above
    given = {str(key): value for key, value in table.items()}
    unknown = sorted(given.keys() - _KINDS.keys())
    if unknown:
        raise ValueError(f"made of {', '.join(_KINDS)}; {name} has {', '.join(unknown)}")
    values: dict[str, object] = {}
    for key, kind in _KINDS.items():
        try:
            if key in given:
                values[key] = kind.read(given[key])
        except ValueError as error:
            raise ValueError(
                f"right about {key} of {name}, which must be {error}, not {writing.short(given[key])}"
            ) from error
    for key in _NEEDED:
        if not values.get(key):
            raise ValueError(f"complete, but {name} has no {key}")
    made = TokenIssuer(name=name, **values)  # type: ignore[arg-type] # each was read by its kind
    _check(made)
    return made


def _check(made: TokenIssuer) -> None:
    """Refuse what does not go together."""
    if made.jwk_url and made.jwk_file is not None:
        raise ValueError(f"given jwk_url or jwk_file of {made.name}, not both")
    if not made.jwk_url and made.jwk_file is None and not _is_address(made.issuer):
        raise ValueError(f"given jwk_url or jwk_file of {made.name}, because its issuer is no address to find keys at")
    if made.ca_file is not None and made.jwk_file is not None:
        raise ValueError(f"given ca_file of {made.name} only without jwk_file, because nothing is fetched")


def _is_address(text: str) -> bool:
    try:
        return networks.URL.read(text) != ""
    except ValueError:
        return False


def _claim(value: object) -> tuple[str, ...]:
    """Read ``a.b``, or a list of names where names have dots."""
    if isinstance(value, list) and value and all(isinstance(part, str) and part for part in value):
        return tuple(value)
    if isinstance(value, str) and value.strip():
        return (value.strip(),)
    raise ValueError("a claim such as scope or realm_access.roles, or a list of names that lead to it")


def _roles(value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(value, Mapping) or not value:
        raise ValueError('a table of scopes by the issuer\'s words, such as {"policy-admins": "admin"}')
    return tuple((str(word), credentials.SCOPES.read(scopes)) for word, scopes in value.items())


_KINDS: Final[Mapping[str, Kind[object]]] = {
    "issuer": cast(Kind[object], texts.TEXT),
    "jwk_url": cast(Kind[object], networks.URL),
    "jwk_file": cast(Kind[object], paths.PATH),
    "audiences": cast(Kind[object], texts.TEXTS),
    "algorithms": cast(Kind[object], credentials.ALGORITHM_NAMES),
    "limit": cast(Kind[object], credentials.SCOPES),
    "scope_claim": Kind("", _claim),
    "roles": Kind("", _roles),
    "default_scopes": cast(Kind[object], credentials.SCOPES),
    "ca_file": cast(Kind[object], paths.PATH),
}


def _written(item: TokenIssuer) -> Iterable[tuple[str, object]]:
    plain = TokenIssuer(name=item.name, issuer="", audiences=(), limit=())
    for key in _KINDS:
        value = getattr(item, key)
        if value == getattr(plain, key):
            continue
        if key == "roles":
            yield key, {word: list(scopes) for word, scopes in item.roles}
        else:
            yield key, list(value) if isinstance(value, tuple) else str(value)
