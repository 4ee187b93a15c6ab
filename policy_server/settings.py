"""Turns defaults, a file, the environment and flags into frozen settings.

Nobody else reads the environment. Each setting is declared once, below; the
reference page, ``config show`` and the checks are made from that declaration.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from policy_server import environment, issuer_settings
from policy_server.access_settings import AccessSettings
from policy_server.decisions.config import unkeyed
from policy_server.declaring import NOT_FOUND as _NOT_FOUND
from policy_server.declaring import About
from policy_server.declaring import deadline as _deadline
from policy_server.declaring import enabled as _enabled
from policy_server.declaring import fallback as _fallback
from policy_server.declaring import policy as _policy
from policy_server.declaring import setting as _setting
from policy_server.environment import CONFIG_FILE
from policy_server.exchange_settings import ExchangeSettings
from policy_server.given import Given, defaults, from_environ, from_file, from_flags, from_git, from_mongo, variable
from policy_server.model.errors import Problem, SettingsError
from policy_server.model.policy import PolicyId
from policy_server.notation import choices, credentials, networks, numbers, paths, texts, writing
from policy_server.notation.credentials import SecretStr
from policy_server.pexip.kinds import Fallback, RequestKind
from policy_server.sources.git_config import clashes
from policy_server.tracing.wanted import wanted

if TYPE_CHECKING:
    from policy_server.builtins.network import Network
    from policy_server.pexip.answers import Route

_MIB: Final = 1 << 20
_LEVELS: Final = choices.choice("debug", "info", "warning", "error", "critical", warn="warning", fatal="critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ExchangeSettings):
    """Everything that can be set, checked.

    ``origins`` says where each value came from (default, a file, a variable, a
    flag); ``warnings`` are sentences for the log at the start.
    """

    host: str = _setting("Server", networks.HOST, "Where to listen; empty means all interfaces.", default="127.0.0.1")
    port: int = _setting("Server", numbers.number(1, 65535), "The TCP port to listen on.", default=8080)
    workers: int = _setting(
        "Server",
        numbers.number(1, 256),
        "Worker processes; `WEB_CONCURRENCY` is read too.",
        default=1,
        shown="the number of processors, 2 to 4",
    )
    threads: int = _setting(
        "Server",
        numbers.number(1, 256),
        "Threads of each worker for calls, and as many again for all other requests.",
        default=8,
    )
    keepalive: float = _setting(
        "Server", numbers.duration(1, 3600), "How long an idle connection stays open.", default=75.0
    )
    graceful_timeout: float = _setting(
        "Server", numbers.duration(1, 600), "How long requests in progress may take to finish at a stop.", default=20.0
    )
    max_body: int = _setting("Server", numbers.size(1024), "The largest request body that is read.", default=10 * _MIB)
    external_url: str = _setting(
        "Server",
        networks.URL,
        "The address under which callers see this server.",
        default="",
        shown="from host and port",
    )
    metrics_address: str = _setting(
        "Server", networks.ADDRESS, "A listener of its own for `/metrics`.", default="", shown="the server's own port"
    )

    log_level: str = _setting("Logging", _LEVELS, "The least level that is logged.", default="info")
    log_format: str = _setting(
        "Logging",
        choices.choice("auto", "json", "console"),
        "JSON lines, or text; auto: text on a terminal.",
        default="auto",
    )

    state_dir: Path = _setting(
        "Storage",
        paths.PATH,
        "The directory for what must be kept: the database, and files of the running server.",
        default=Path(),
        shown="`$XDG_STATE_HOME/policy-server`",
    )
    cache_dir: Path = _setting(
        "Storage",
        paths.PATH,
        "The directory for machine code made of WebAssembly; it can be deleted, and is made again.",
        default=Path(),
        shown="`$XDG_CACHE_HOME/policy-server`",
    )
    storage_url: str = _setting(
        "Storage",
        networks.STORAGE,
        "Where policies are kept; `memory:` forgets at the stop and has one worker.",
        default="",
        secret=True,
        shown="`policies.db` in the state directory",
    )
    keep_revisions: int = _setting(
        "Storage", numbers.number(1, 10_000), "How many revisions of each policy are kept.", default=20
    )
    keep_events: float = _setting(
        "Storage",
        numbers.duration(3600, 10 * 366 * 86400),
        "How long events about changes and their deliveries are kept.",
        default=30 * 86400.0,
    )
    keep_audit: float = _setting(
        "Storage",
        numbers.duration(3600, 100 * 366 * 86400),
        "How long audit records are kept.",
        default=366 * 86400.0,
    )

    bundled: bool = _setting(
        "Policies", choices.SWITCH, "Publish the bundled Pexip policies at the start.", default=True
    )
    folders: tuple[tuple[str, Path], ...] = _setting(
        "Policies", paths.FOLDERS, "Directories whose `group/policy/version/policy.rego` are followed.", default=()
    )
    feed_poll: float = _setting(
        "Policies",
        numbers.duration(0.1, 3600),
        "How often to look at folders on which the system gives no notice of changes, such as network mounts.",
        default=10.0,
    )
    lock_on_validation_failure: bool = _setting(
        "Policies",
        choices.SWITCH,
        "Lock a policy whose output does not fit its schema at `…/validation`.",
        default=False,
    )
    toolkit: Path | None = _setting(
        "Policies",
        paths.OPTIONAL_PATH,
        "OPA's toolkit (`.wasm` or `.wasm.xz`).",
        default=None,
        shown="the one that came along",
    )
    toolkit_memory: int = _setting(
        "Policies", numbers.size(64 * _MIB), "The most memory that one compilation may use.", default=1024 * _MIB
    )
    toolkit_deadline: float = _setting(
        "Policies", numbers.duration(0.1, 600), "The most time that one compilation may take.", default=30.0
    )
    runtime_env: tuple[str, ...] = _setting(
        "Policies",
        texts.NAMES,
        "Environment variables that policies see in `opa.runtime().env`; with none `opa.runtime()` is empty.",
        default=(),
    )

    evaluation_deadline: float = _setting(
        "Evaluation", numbers.duration(0.001, 600), "How long an evaluation may take.", default=2.0
    )
    evaluation_memory: int = _setting(
        "Evaluation", numbers.size(4 * _MIB), "The most memory that one policy instance may use.", default=256 * _MIB
    )
    explain: bool = _setting(
        "Evaluation",
        choices.SWITCH,
        "Let everybody who may evaluate and read a policy ask for its trace, too (`…/evaluation?explain=full`); it "
        "shows the source, the data and all that the policy computes.",
        default=False,
    )
    loaded_policies: int = _setting(
        "Evaluation",
        numbers.number(1, 1_000_000),
        "How many policies each worker keeps loaded, besides Pexip's; what was asked for longest ago goes first.",
        default=500,
    )
    worker_poll: float = _setting(
        "Evaluation", numbers.duration(0.01, 60), "How often each worker looks for new revisions.", default=0.25
    )

    pexip_credentials: tuple[tuple[str, SecretStr], ...] = _setting(
        "Pexip", credentials.CREDENTIALS, "Who may ask (HTTP Basic); none means everybody.", default=(), secret=True
    )
    pexip_service_enabled: bool = _enabled("service configuration")
    pexip_service_policy: PolicyId = _policy("service configuration", "service")
    pexip_service_fallback: Fallback = _fallback("service configuration")
    pexip_service_deadline: float = _deadline("service configuration")
    pexip_participant_enabled: bool = _enabled("participant properties")
    pexip_participant_policy: PolicyId = _policy("participant properties", "participant")
    pexip_participant_fallback: Fallback = _fallback("participant properties")
    pexip_participant_deadline: float = _deadline("participant properties")
    pexip_media_location_enabled: bool = _enabled("media location")
    pexip_media_location_policy: PolicyId = _policy("media location", "media_location")
    pexip_media_location_fallback: Fallback = _fallback("media location", _NOT_FOUND)
    pexip_media_location_deadline: float = _deadline("media location")
    pexip_avatar_enabled: bool = _enabled("avatar")
    pexip_avatar_policy: PolicyId = _policy("avatar", "avatar")
    pexip_avatar_fallback: Fallback = _fallback("avatar", _NOT_FOUND)
    pexip_avatar_deadline: float = _deadline("avatar")
    pexip_directory_enabled: bool = _enabled("directory")
    pexip_directory_policy: PolicyId = _policy("directory", "directory")
    pexip_directory_fallback: Fallback = _fallback("directory", _NOT_FOUND)
    pexip_directory_deadline: float = _deadline("directory")
    pexip_registration_enabled: bool = _enabled("registration")
    pexip_registration_policy: PolicyId = _policy("registration", "registration")
    pexip_registration_fallback: Fallback = _fallback("registration")
    pexip_registration_deadline: float = _deadline("registration")

    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    warnings: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def database(self) -> str:
        """The address of the store: what was asked for, or a file in the state directory."""
        return self.storage_url or f"sqlite:///{self.database_file}"

    @property
    def database_file(self) -> Path:
        """The file that is the store when no other is named."""
        return self.state_dir / "policies.db"

    @property
    def database_shown(self) -> str:
        """The address of the store without its password, for people and logs."""
        return writing.covered(self.database)

    @property
    def bind(self) -> str:
        """The address to listen on, as gunicorn takes it."""
        return _join(self.host or "0.0.0.0", self.port)  # noqa: S104 - what an empty host asks for

    @property
    def local_url(self) -> str:
        """An address that reaches this server from the same machine."""
        everywhere = self.host in {"", "0.0.0.0", "::"}  # noqa: S104 - compared only
        return f"http://{_join('127.0.0.1' if everywhere else self.host, self.port)}"

    @property
    def url(self) -> str:
        """The address to show to people."""
        return self.external_url or self.local_url

    @property
    def runtime_variables(self) -> dict[str, str]:
        """The environment variables that policies may see, with their values."""
        return {name: os.environ[name] for name in self.runtime_env if name in os.environ}

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment, of which functions of the operator's file get what the file names."""
        return os.environ

    @property
    def traced(self) -> bool:
        """Whether OpenTelemetry's variables ask for traces, and nothing is in the way."""
        return wanted(os.environ)

    @property
    def network(self) -> "Network | None":
        """What policies may reach; None when nothing."""
        # PERF: not needed by commands that evaluate nothing.
        from policy_server.builtins.network import Network  # noqa: PLC0415

        if self.http_send == "off":
            return None
        return Network(
            hosts=("*",) if self.http_send == "on" else self.http_send_hosts,
            networks=self.allowed_networks,
            max_bytes=self.http_send_max_bytes,
            cache_bytes=self.http_send_cache,
            tls_files=self.http_send_tls_files,
            tls_env={name: os.environ[name] for name in self.http_send_tls_env if name in os.environ},
            origin=variable("http_send_hosts"),
        )

    def pexip_route(self, kind: RequestKind) -> "Route":
        """Return what was set for one kind of Pexip request."""
        # PERF: importing it takes 120 ms, which commands that ask no policy need not wait for.
        from policy_server.pexip.answers import Route  # noqa: PLC0415

        enabled, policy, fallback, deadline = (
            getattr(self, f"pexip_{kind}_{what}") for what in ("enabled", "policy", "fallback", "deadline")
        )
        return Route(enabled=enabled, policy=policy, fallback=fallback, deadline=deadline)

    def dump(self, *, redact: bool = True) -> dict[str, str]:
        """Return all values as text, in order; secrets only when asked for."""
        return {
            name: (writing.covered if about.secret and redact else writing.shown)(getattr(self, name))
            for name, about in declared()
        }


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def declared() -> Iterator[tuple[str, About]]:
    """Yield the name of every setting and what is declared about it, in order."""
    access, exchange = ({item.name for item in fields(each)} for each in (AccessSettings, ExchangeSettings))
    for item in sorted(fields(Settings), key=lambda item: (item.name in access, item.name in exchange)):
        about = item.metadata.get("about")
        if about is not None:
            yield item.name, about


def to_environ(overrides: Mapping[str, object]) -> dict[str, str]:
    """Write flags as variables, for the processes that are started next."""
    return {variable(name): writing.shown(value) for name, value in overrides.items() if value is not None}


def load_settings(
    *,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Join defaults, file, environment and flags; each wins over the ones before it.

    Raises:
        SettingsError: with every problem found: unknown names, values that cannot be used, refused variables.
    """
    environ = os.environ if environ is None else environ
    known = dict(declared())
    problems: list[str] = []
    named = config or environ.get(CONFIG_FILE)
    given = defaults(environ)
    if named:
        given |= from_file(Path(named), known, problems)
    given |= from_mongo(environ) | from_git(environ) | from_environ(environ, known, problems)
    given |= from_flags(overrides or {}, known, problems)
    values = _read(given, problems)
    if values.get("storage_url") == "memory:":
        _check_memory(values, given, problems)
    problems += clashes(values.get("git"), values.get("folders")) + issuer_settings.clashes(values)
    problems += unkeyed(values)
    if problems:
        raise SettingsError(
            "; ".join(problems), problems=[Problem(problem, code=SettingsError.slug) for problem in problems]
        )
    return Settings(
        **cast(dict[str, Any], values),  # each was read by the kind its field declares
        origins=MappingProxyType({name: given[name].origin if name in given else "default" for name, _ in declared()}),
        warnings=tuple(environment.warnings(environ)),
    )


def _check_memory(values: dict[str, object], given: Mapping[str, Given], problems: list[str]) -> None:
    """Allow one worker only: each would have a truth of its own."""
    if given["workers"].origin == "default":
        values["workers"] = 1
    elif values.get("workers") != 1:
        problems.append(
            f"storage in memory allows one worker only, but {given['workers'].origin} asks for {values.get('workers')}"
        )


def _read(given: Mapping[str, Given], problems: list[str]) -> dict[str, object]:
    values = {}
    for name, about in declared():
        if name not in given:
            continue
        value, origin = given[name].value, given[name].origin
        try:
            values[name] = about.kind.read(value)
        except ValueError as error:
            # SECURITY: what was given for a secret is not repeated.
            problems.append(f"{origin} must be {error}" + ("" if about.secret else f", not {writing.short(value)}"))
    return values
