"""Names in the environment that are not ours: the policy service's, Kubernetes' and gunicorn's.

Whoever moves here from the public policy service keeps its variables. The ones
that name something we have are read; the ones that would silently switch off a
protection or lose data when ignored stop the start; the others give a warning.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

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
    "CACHE_ADDR": "cache_url",
}
"""Another product's name → our setting. Our own name wins where both are set."""

REFUSED: Final[Mapping[str, str]] = {
    "POLICY_REPOSITORY_CLONE_URL": "this release cannot clone a Git repository yet; check it out beside the server "
    "and name the folder in POLICY_FOLDERS (repository=path)",
    "AUTH_ENABLED": "this release cannot check bearer tokens yet, and would answer everybody; unset it only "
    "when something in front of the server checks them",
    "IP_FILTER_ENABLE": "this release cannot filter by address yet, and would answer everybody; unset it only "
    "when something in front of the server filters",
}
"""Names whose being ignored would be dangerous, and what to do instead."""

IGNORED: Final[Mapping[str, str]] = {
    "HTTP_READ_TIMEOUT": "gunicorn's worker timeout applies",
    "HTTP_WRITE_TIMEOUT": "POLICY_EVALUATION_DEADLINE ends long evaluations, with an answer",
    "POLICY_REPOSITORY_USER": "there is no Git feed yet",
    "POLICY_REPOSITORY_PASS": "there is no Git feed yet",
    "POLICY_REPOSITORY_BRANCH": "there is no Git feed yet",
    "POLICY_REPOSITORY_FOLDER": "there is no Git feed yet",
    "TASK_ADDR": "the task functions are not there yet",
    "SIGNER_ADDR": "there is no bundle signing yet",
    "DID_RESOLVER_ADDR": "the DID functions are not there yet",
    "OCM_ADDR": "the OCM functions are not there yet",
    "NATS_ADDR": "no events are sent yet",
    "NATS_SUBJECT": "no events are sent yet",
    "AUTO_IMPORT_POLL_INTERVAL": "there is no automatic import yet",
    "AUTH_JWK_URL": "bearer tokens are not checked yet",
    "AUTH_REFRESH_INTERVAL": "bearer tokens are not checked yet",
    "OAUTH_CLIENT_ID": "outgoing requests carry no tokens yet",
    "OAUTH_CLIENT_SECRET": "outgoing requests carry no tokens yet",
    "OAUTH_TOKEN_URL": "outgoing requests carry no tokens yet",
    "IP_FILTER_ALLOWED_IPS": "addresses are not filtered yet",
    "USE_NGROK": "there is no development tunnel",
    "NGROK_TOKEN": "there is no development tunnel",
    "NGROK_STATIC_DOMAIN": "there is no development tunnel",
}
"""Names of what this release does not have, and what that means."""

KNOWN: Final = frozenset({CONFIG_FILE, *REFUSED, *IGNORED})
"""Names that begin like ours and are no settings."""

MONGO: Final = "MONGO_ADDR"
_MONGO_PARTS: Final = ("MONGO_USER", "MONGO_PASS", "MONGO_DBNAME", "MONGO_COLLECTION", "MONGO_AUTH_MECHANISM")

_SWITCHES: Final = frozenset({"AUTH_ENABLED", "IP_FILTER_ENABLE", "USE_NGROK"})
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


def refusals(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for every variable that must not be ignored."""
    return [f"{name} is set, but {why}" for name, why in REFUSED.items() if _is_on(name, environ)]


def warnings(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for every variable that is known but has no effect."""
    found = [f"{name} has no effect: {why}" for name, why in IGNORED.items() if _is_on(name, environ)]
    if not environ.get(MONGO):
        found += [f"{name} has no effect without {MONGO}" for name in _MONGO_PARTS if _is_on(name, environ)]
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


def _is_on(name: str, environ: Mapping[str, str]) -> bool:
    value = environ.get(name, "").strip()
    return value.lower() not in _OFF if name in _SWITCHES else value != ""
