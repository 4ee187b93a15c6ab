"""Names in the environment that are not ours: the policy service's, Kubernetes' and gunicorn's.

Whoever moves here from the public policy service keeps its variables. The ones
that name something we have are read; the others give a warning.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from policy_server.tracing.wanted import obstacle

PREFIX: Final = "POLICY_"
CONFIG_FILE: Final = "POLICY_CONFIG_FILE"

ALIASES: Final[Mapping[str, str]] = {
    "WEB_CONCURRENCY": "workers",
    "HTTP_HOST": "host",
    "HTTP_PORT": "port",
    "HTTP_IDLE_TIMEOUT": "keepalive",
    "LOG_LEVEL": "log_level",
    "METRICS_ADDR": "metrics_address",
    "EXTERNAL_HTTP_ADDR": "external_url",
    "REFRESHER_POLL_INTERVAL": "refresh_poll",
    "AUTH_ENABLED": "auth_enabled",
    "AUTH_JWK_URL": "auth_jwk_url",
    "AUTH_REFRESH_INTERVAL": "auth_refresh_interval",
    "IP_FILTER_ENABLE": "ip_filter_enable",
    "IP_FILTER_ALLOWED_IPS": "ip_filter_allowed_ips",
    "OAUTH_CLIENT_ID": "oauth_client_id",
    "OAUTH_CLIENT_SECRET": "oauth_client_secret",
    "OAUTH_TOKEN_URL": "oauth_token_url",
    "AUTO_IMPORT_POLL_INTERVAL": "auto_import_poll_interval",
    "CACHE_ADDR": "cache_url",
    "TASK_ADDR": "task_url",
    "SIGNER_ADDR": "signer_url",
    "DID_RESOLVER_ADDR": "did_resolver_url",
    "OCM_ADDR": "ocm_url",
    "TRAIN_ADDR": "train_url",
    "NATS_ADDR": "nats_url",
    "NATS_SUBJECT": "nats_subject",
}
"""Another product's name → our setting. Our own name wins where both are set."""

IGNORED: Final[Mapping[str, str]] = {
    "HTTP_READ_TIMEOUT": "gunicorn's worker timeout applies",
    "HTTP_WRITE_TIMEOUT": "POLICY_EVALUATION_DEADLINE ends long evaluations, with an answer",
    "USE_NGROK": "there is no development tunnel",
    "NGROK_TOKEN": "there is no development tunnel",
    "NGROK_STATIC_DOMAIN": "there is no development tunnel",
}
"""Names of what this release does not have, and what that means."""

TOKEN: Final = "POLICY_TOKEN"  # noqa: S105 - the name of a variable
"""What commands show to a running server; the server itself does not read it."""

CLONE_URL: Final = "POLICY_REPOSITORY_CLONE_URL"
_SYNC_URL: Final = "POLICY_REPO"  # what the policy service's separate sync program calls it
_GIT_PARTS: Final = {
    f"{prefix}_{part}": (url, name)
    for prefix, url in (("POLICY_REPOSITORY", CLONE_URL), (_SYNC_URL, _SYNC_URL))
    for part, name in (("USER", "user"), ("PASS", "password"), ("BRANCH", "branch"), ("FOLDER", "folder"))
}
_GIT_INTERVAL: Final = "SYNC_INTERVAL"

KNOWN: Final = frozenset({CONFIG_FILE, TOKEN, CLONE_URL, _SYNC_URL, *_GIT_PARTS, *IGNORED})
"""Names that begin like ours and are no settings."""

MONGO: Final = "MONGO_ADDR"
_MONGO_PARTS: Final = ("MONGO_USER", "MONGO_PASS", "MONGO_DBNAME", "MONGO_COLLECTION", "MONGO_AUTH_MECHANISM")

_SWITCHES: Final = frozenset({"USE_NGROK"})
_OFF: Final = frozenset({"", "0", "f", "false", "no", "off"})

# A Kubernetes service called `policy…` puts these into every container beside it.
_SERVICE_LINK: Final = re.compile(
    r"POLICY(_\w+)?_SERVICE_(HOST|PORT(_\w+)?)|POLICY(_\w+)?_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
)


def is_service_link(name: str, value: str) -> bool:
    """Tell whether Kubernetes made this variable, to point at a service.

    ``POLICY_PORT`` is one only when its value is ``tcp://…``; else it is our setting.
    """
    if name.startswith(PREFIX) and name.endswith("_PORT") and re.match(r"(tcp|udp|sctp)://", value):
        return True
    return _SERVICE_LINK.fullmatch(name) is not None


def warnings(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for every variable that is known but has no effect."""
    found = [f"{name} has no effect: {why}" for name, why in IGNORED.items() if _is_on(name, environ)]
    urls = [name for name in (CLONE_URL, _SYNC_URL) if environ.get(name)]
    found += [
        f"{part} has no effect without {url}"
        for part, (url, _) in _GIT_PARTS.items()
        if environ.get(part) and url not in urls
    ]
    if not urls and environ.get(_GIT_INTERVAL):
        found.append(f"{_GIT_INTERVAL} has no effect without {CLONE_URL}")
    if not environ.get(MONGO):
        found += [f"{name} has no effect without {MONGO}" for name in _MONGO_PARTS if _is_on(name, environ)]
    untraced = obstacle(environ)
    if untraced is not None:
        found.append(untraced)
    return found


def mongo_url(environ: Mapping[str, str]) -> str | None:
    """Join the policy service's variables into one address; None when they name no server.

    What the address says itself wins, but for user and password.
    """
    address = environ.get(MONGO, "").strip()
    if not address:
        return None
    if "://" not in address:
        address = f"mongodb://{address}"
    head, _, query = address.partition("?")
    scheme, _, rest = head.partition("://")
    hosts, _, database = rest.partition("/")
    options = dict(parse_qsl(query))
    user, password = environ.get("MONGO_USER", ""), environ.get("MONGO_PASS", "")
    if user:
        hosts = f"{quote(user, safe='')}:{quote(password, safe='')}@{hosts.rpartition('@')[2]}"
        options.setdefault("authSource", "admin")
        options.setdefault("authMechanism", environ.get("MONGO_AUTH_MECHANISM") or "SCRAM-SHA-1")
    if environ.get("MONGO_COLLECTION"):
        options.setdefault("collection", environ["MONGO_COLLECTION"])
    database = database or quote(environ.get("MONGO_DBNAME") or "policy", safe="")
    return f"{scheme}://{hosts}/{database}" + (f"?{urlencode(options)}" if options else "")


def git_repository(environ: Mapping[str, str]) -> tuple[str, dict[str, object]] | None:
    """Join the policy service's variables into one Git repository; None when they name none.

    Returns which variable named it, and the repository as the setting ``git`` has it. Its name is the last
    element of the address, without ``.git``; user and password count together only, as there.
    """
    origin = next((name for name in (CLONE_URL, _SYNC_URL) if environ.get(name, "").strip()), None)
    if origin is None:
        return None
    url = environ[origin].strip()
    table: dict[str, object] = {
        name: environ[part] for part, (of, name) in _GIT_PARTS.items() if of == origin and environ.get(part)
    }
    parts = urlsplit(url)
    if parts.password is not None and parts.scheme in {"http", "https"}:
        table = {"user": unquote(parts.username or ""), "password": unquote(parts.password)} | table
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    if not (table.get("user") and table.get("password")):
        table.pop("user", None)
        table.pop("password", None)
    if environ.get(_GIT_INTERVAL):
        table["interval"] = environ[_GIT_INTERVAL]
    name = re.split(r"[/:]", url.rstrip("/"))[-1].removesuffix(".git")
    return origin, {name: {"url": url, **table}}


def _is_on(name: str, environ: Mapping[str, str]) -> bool:
    value = environ.get(name, "").strip()
    return value.lower() not in _OFF if name in _SWITCHES else value != ""
