"""Who may come in: the settings of their own group."""

from dataclasses import dataclass
from pathlib import Path

from policy_server.auth.rules import ALGORITHMS
from policy_server.declaring import setting
from policy_server.issuer_settings import TOKEN_ISSUERS, TokenIssuers
from policy_server.notation import choices, credentials, networks, numbers, paths, texts
from policy_server.notation.credentials import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings:
    """What callers must show, and what we show to others."""

    auth_enabled: bool = setting(
        "Access", choices.SWITCH, "Ask callers who they are, on all routes but Pexip's, health and documentation.",
        default=False,
    )  # fmt: skip
    allow_anonymous: bool = setting(
        "Access", choices.SWITCH, "Start without `auth_enabled` although others than this machine can ask.",
        default=False,
    )  # fmt: skip
    auth_jwk_url: tuple[str, ...] = setting(
        "Access", networks.URLS, "Where issuers of JSON Web Tokens publish their keys (JWKS); all are trusted alike.",
        default=(),
    )  # fmt: skip
    auth_jwk_file: Path | None = setting(
        "Access", paths.OPTIONAL_PATH, "A JWKS in a file, instead or besides.", default=None
    )
    auth_refresh_interval: float = setting(
        "Access", numbers.duration(10, 7 * 86400), "How often keys are fetched again.", default=3600.0
    )
    auth_algorithms: tuple[str, ...] = setting(
        "Access", credentials.ALGORITHM_NAMES, "How tokens may be signed; never by a shared secret.", default=ALGORITHMS
    )
    auth_issuers: tuple[str, ...] = setting(
        "Access", texts.TEXTS, "Whose tokens count (`iss`); none means anybody's with a right key.", default=()
    )
    auth_audiences: tuple[str, ...] = setting(
        "Access", texts.TEXTS, "For whom tokens must be (`aud`); none means that it is not looked at.", default=()
    )
    auth_clock_skew: float = setting(
        "Access", numbers.duration(0, 600), "How far clocks of issuers may be wrong.", default=30.0
    )
    auth_scope_claim: str = setting(
        "Access", texts.TEXT, "The claim with scopes: a text with spaces or a list; `a.b` looks inside of `a`.",
        default="scope",
    )  # fmt: skip
    auth_default_scopes: tuple[str, ...] = setting(
        "Access", credentials.SCOPES, "What a JSON Web Token grants that has none of our scopes.", default=()
    )
    token_issuers: TokenIssuers = setting(
        "Access", TOKEN_ISSUERS,
        "Issuers of JSON Web Tokens with keys, audiences, roles and a limit of their own; each has its own table.",
        default=TokenIssuers(),
    )  # fmt: skip
    auth_ca_file: Path | None = setting(
        "Access", paths.OPTIONAL_PATH,
        "Certificate authorities (PEM) to trust, instead of the usual ones, for `auth_jwk_url`, `token_issuers` and"
        " `oauth_token_url`.",
        default=None,
    )  # fmt: skip
    auth_certificates: str = setting(
        "Access", credentials.CERTIFICATES,
        "Client certificates, by subject or SHA-256 fingerprint, that a trusted proxy has checked, and their scopes.",
        default="",
    )  # fmt: skip
    auth_subject_header: str = setting(
        "Access", texts.HEADER, "Where a trusted proxy writes the subject of a client certificate.",
        default="X-Client-Cert-Subject",
    )  # fmt: skip
    auth_fingerprint_header: str = setting(
        "Access", texts.HEADER, "Where a trusted proxy writes the SHA-256 fingerprint of a client certificate.",
        default="X-Client-Cert-Fingerprint",
    )  # fmt: skip
    trusted_proxies: tuple[str, ...] = setting(
        "Access", networks.ADDRESSES, "Proxies whose `X-Forwarded-For` and certificate headers are believed.",
        default=(),
    )  # fmt: skip
    ip_filter_enable: bool = setting(
        "Access", choices.SWITCH, "Let only listed addresses use the routes that `auth_enabled` protects.",
        default=False,
    )  # fmt: skip
    ip_filter_allowed_ips: tuple[str, ...] = setting(
        "Access", networks.ADDRESSES, "The addresses for `ip_filter_enable`; none lets nobody through.", default=()
    )
    oauth_client_id: str = setting(
        "Access", texts.TEXT, "Who we are to the issuer of tokens for outgoing requests.", default=""
    )
    oauth_client_secret: SecretStr | None = setting(
        "Access", credentials.SECRET, "The secret that goes with `oauth_client_id`.", default=None, secret=True
    )
    oauth_token_url: str = setting(
        "Access", networks.URL, "Where tokens for outgoing requests come from (client credentials).", default=""
    )
    oauth_scope: str = setting("Access", texts.TEXT, "The scope to ask for with them.", default="")
