"""Turns defaults, a file, the environment and flags into frozen settings.

Nobody else reads the environment. Each setting is declared once, below; the
reference page, ``config show`` and the checks are made from that declaration.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from policy_server import environment, notation
from policy_server.access_settings import AccessSettings
from policy_server.declaring import NOT_FOUND as _NOT_FOUND
from policy_server.declaring import About
from policy_server.declaring import deadline as _deadline
from policy_server.declaring import enabled as _enabled
from policy_server.declaring import fallback as _fallback
from policy_server.declaring import policy as _policy
from policy_server.declaring import setting as _setting
from policy_server.environment import CONFIG_FILE, PREFIX
from policy_server.model.errors import Problem, SettingsError
from policy_server.model.policy import PolicyId
from policy_server.notation import SecretStr
from policy_server.pexip.kinds import Fallback, RequestKind
from policy_server.sources.git_config import GIT, GitRepositories, clashes

if TYPE_CHECKING:
    from policy_server.builtins.network import Network
    from policy_server.pexip.answers import Route

_MAY_BE_EMPTY: Final = frozenset({"POLICY_HOST", "HTTP_HOST"})
_MIB: Final = 1 << 20
_LEVELS: Final = notation.choice("debug", "info", "warning", "error", "critical", warn="warning", fatal="critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(AccessSettings):
    """Everything that can be set, checked.

    ``origins`` says where each value came from (default, a file, a variable, a
    flag); ``warnings`` are sentences for the log at the start.
    """

    host: str = _setting("Server", notation.HOST, "Where to listen; empty means all interfaces.", default="127.0.0.1")
    port: int = _setting("Server", notation.number(1, 65535), "The TCP port to listen on.", default=8080)
    workers: int = _setting(
        "Server",
        notation.number(1, 256),
        "Worker processes; `WEB_CONCURRENCY` is read too.",
        default=1,
        shown="the number of processors, 2 to 4",
    )
    threads: int = _setting(
        "Server",
        notation.number(1, 256),
        "Threads of each worker for calls, and as many again for all other requests.",
        default=8,
    )
    keepalive: float = _setting(
        "Server", notation.duration(1, 3600), "How long an idle connection stays open.", default=75.0
    )
    graceful_timeout: float = _setting(
        "Server", notation.duration(1, 600), "How long requests in progress may take to finish at a stop.", default=20.0
    )
    max_body: int = _setting("Server", notation.size(1024), "The largest request body that is read.", default=10 * _MIB)
    external_url: str = _setting(
        "Server",
        notation.URL,
        "The address under which callers see this server.",
        default="",
        shown="from host and port",
    )
    metrics_address: str = _setting(
        "Server", notation.ADDRESS, "A listener of its own for `/metrics`.", default="", shown="the server's own port"
    )

    log_level: str = _setting("Logging", _LEVELS, "The least level that is logged.", default="info")
    log_format: str = _setting(
        "Logging",
        notation.choice("auto", "json", "console"),
        "JSON lines, or text; auto: text on a terminal.",
        default="auto",
    )

    state_dir: Path = _setting(
        "Storage",
        notation.PATH,
        "The directory for what must be kept: the database, and files of the running server.",
        default=Path(),
        shown="`$XDG_STATE_HOME/policy-server`",
    )
    cache_dir: Path = _setting(
        "Storage",
        notation.PATH,
        "The directory for machine code made of WebAssembly; it can be deleted, and is made again.",
        default=Path(),
        shown="`$XDG_CACHE_HOME/policy-server`",
    )
    storage_url: str = _setting(
        "Storage",
        notation.STORAGE,
        "Where policies are kept; `memory:` forgets at the stop and has one worker.",
        default="",
        secret=True,
        shown="`policies.db` in the state directory",
    )
    keep_revisions: int = _setting(
        "Storage", notation.number(1, 10_000), "How many revisions of each policy are kept.", default=20
    )
    keep_events: float = _setting(
        "Storage",
        notation.duration(3600, 10 * 366 * 86400),
        "How long events about changes and their deliveries are kept.",
        default=30 * 86400.0,
    )
    keep_audit: float = _setting(
        "Storage",
        notation.duration(3600, 100 * 366 * 86400),
        "How long audit records are kept.",
        default=366 * 86400.0,
    )

    bundled: bool = _setting(
        "Policies", notation.SWITCH, "Publish the bundled Pexip policies at the start.", default=True
    )
    folders: tuple[tuple[str, Path], ...] = _setting(
        "Policies", notation.FOLDERS, "Directories whose `group/policy/version/policy.rego` are followed.", default=()
    )
    feed_poll: float = _setting(
        "Policies",
        notation.duration(0.1, 3600),
        "How often to look at folders on which the system gives no notice of changes, such as network mounts.",
        default=10.0,
    )
    lock_on_validation_failure: bool = _setting(
        "Policies",
        notation.SWITCH,
        "Lock a policy whose output does not fit its schema at `…/validation`.",
        default=False,
    )
    toolkit: Path | None = _setting(
        "Policies",
        notation.OPTIONAL_PATH,
        "OPA's toolkit (`.wasm` or `.wasm.xz`).",
        default=None,
        shown="the one that came along",
    )
    toolkit_memory: int = _setting(
        "Policies", notation.size(64 * _MIB), "The most memory that one compilation may use.", default=1024 * _MIB
    )
    toolkit_deadline: float = _setting(
        "Policies", notation.duration(0.1, 600), "The most time that one compilation may take.", default=30.0
    )
    runtime_env: tuple[str, ...] = _setting(
        "Policies",
        notation.NAMES,
        "Environment variables that policies see in `opa.runtime().env`; with none `opa.runtime()` is empty.",
        default=(),
    )

    git: GitRepositories = _setting(
        "Git", GIT, "Git repositories to follow; each has its own table.", default=GitRepositories(), secret=True
    )
    git_max_bytes: int = _setting(
        "Git", notation.size(1 << 16), "The most that fetching one commit may receive, packed.", default=256 * _MIB
    )
    git_max_files: int = _setting(
        "Git", notation.number(1, 10_000_000), "The most files and directories of a commit.", default=200_000
    )
    git_max_policies: int = _setting(
        "Git", notation.number(1, 1_000_000), "The most policies of a commit.", default=20_000
    )
    git_timeout: float = _setting(
        "Git",
        notation.duration(0.1, 600),
        "How long a Git server may stay silent; a fetch may take ten times as long.",
        default=30.0,
    )

    evaluation_deadline: float = _setting(
        "Evaluation", notation.duration(0.001, 600), "How long an evaluation may take.", default=2.0
    )
    evaluation_memory: int = _setting(
        "Evaluation", notation.size(4 * _MIB), "The most memory that one policy instance may use.", default=256 * _MIB
    )
    explain: bool = _setting(
        "Evaluation",
        notation.SWITCH,
        "Let everybody who may evaluate and read a policy ask for its trace, too (`…/evaluation?explain=full`); it "
        "shows the source, the data and all that the policy computes.",
        default=False,
    )
    worker_poll: float = _setting(
        "Evaluation", notation.duration(0.01, 60), "How often each worker looks for new revisions.", default=0.25
    )

    pexip_credentials: tuple[tuple[str, SecretStr], ...] = _setting(
        "Pexip", notation.CREDENTIALS, "Who may ask (HTTP Basic); none means everybody.", default=(), secret=True
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

    data_api_repositories: tuple[str, ...] = _setting(
        "Front doors",
        notation.REPOSITORIES,
        "The repositories whose policies `/v1/data/…` finds by their package; empty means all.",
        default=(),
    )
    authzen_policy: PolicyId | None = _setting(
        "Front doors", notation.OPTIONAL_POLICY, "The policy that answers AuthZEN's requests.", default=None
    )

    allowed_networks: tuple[str, ...] = _setting(
        "Outgoing requests",
        notation.NETWORKS,
        "Private networks and hosts that policies, data sources and events may reach all the same.",
        default=(),
    )
    http_send: str = _setting(
        "Outgoing requests",
        notation.choice("off", "allowed", "on"),
        "Whether policies may call `http.send` and `net.lookup_ip_addr`: not at all, for the hosts of"
        " `http_send_hosts`, or for every public host.",
        default="allowed",
    )
    http_send_hosts: tuple[str, ...] = _setting(
        "Outgoing requests",
        notation.HOSTS,
        "The hosts policies may reach with `http.send`. Private ones must be in `allowed_networks` too.",
        default=(),
    )
    http_send_policies: tuple[str, ...] = _setting(
        "Outgoing requests",
        notation.PATTERNS,
        "The policies that may; `!` before a pattern takes them out.",
        default=("*",),
    )
    http_send_max_bytes: int = _setting(
        "Outgoing requests",
        notation.size(1024),
        "The largest body that `http.send` takes in, packed or unpacked.",
        default=4 * _MIB,
    )
    http_send_cache: int = _setting(
        "Outgoing requests",
        notation.size(0),
        "Memory of each worker for answers that `http.send` keeps across evaluations (`cache`, `force_cache`).",
        default=16 * _MIB,
    )
    http_send_tls_files: tuple[Path, ...] = _setting(
        "Outgoing requests",
        notation.PATHS,
        "Files, and directories of files, that policies may name as `tls_…_file`.",
        default=(),
    )
    http_send_tls_env: tuple[str, ...] = _setting(
        "Outgoing requests",
        notation.NAMES,
        "Environment variables that policies may name as `tls_…_env_variable`.",
        default=(),
    )
    refresh_poll: float = _setting(
        "Outgoing requests", notation.duration(0.05, 3600), "How often to look whether data is due.", default=1.0
    )
    refresh_timeout: float = _setting(
        "Outgoing requests", notation.duration(0.1, 600), "How long fetching data may take.", default=10.0
    )
    refresh_max_bytes: int = _setting(
        "Outgoing requests", notation.size(1024), "The largest data document that is fetched.", default=32 * _MIB
    )
    refresh_retry: float = _setting(
        "Outgoing requests",
        notation.duration(0.05, 3600),
        "The first pause after a failed fetch; it doubles.",
        default=5.0,
    )

    signer_url: str = _setting("Bundles", notation.URL, "The signer service that signs exported bundles.", default="")
    bundle_key: Path | None = _setting(
        "Bundles",
        notation.OPTIONAL_PATH,
        "A private key (PEM without a password, or JWK) that signs exported bundles instead of the signer.",
        default=None,
    )
    bundle_trusted_keys: Path | None = _setting(
        "Bundles",
        notation.OPTIONAL_PATH,
        "Public keys (JWK Set, JWK or PEM) whose bundles are imported, besides those kept in the store.",
        default=None,
    )
    bundle_issuers: tuple[tuple[str, tuple[str, ...]], ...] = _setting(
        "Bundles", notation.ISSUERS, "Who is trusted to serve the keys of bundles to import.", default=()
    )
    bundle_max_bytes: int = _setting(
        "Bundles", notation.size(1024), "The largest bundle that is imported.", default=32 * _MIB
    )
    auto_import_poll_interval: float = _setting(
        "Bundles", notation.duration(0.05, 3600), "How often to look whether a bundle is to be imported.", default=10.0
    )
    cache_url: str = _setting(
        "Extension functions",
        notation.URL,
        "The cache service behind `cache.get` and `cache.set`, which also gets every result; `CACHE_ADDR` is read too.",
        default="",
        shown="the server's own store",
    )
    task_url: str = _setting(
        "Extension functions",
        notation.URL,
        "The task service behind `task.create` and `tasklist.create`; `TASK_ADDR` is read too.",
        default="",
    )
    did_resolver_url: str = _setting(
        "Extension functions",
        notation.URL,
        "The resolver behind `did.resolve`; `DID_RESOLVER_ADDR` is read too.",
        default="",
    )
    ocm_url: str = _setting(
        "Extension functions",
        notation.URL,
        "The OCM service behind the `ocm` functions; `OCM_ADDR` is read too.",
        default="",
    )
    neighbour_timeout: float = _setting(
        "Extension functions",
        notation.duration(0.01, 600),
        "How long a function waits for such a service, and never longer than its evaluation has time.",
        default=30.0,
    )
    neighbour_max_bytes: int = _setting(
        "Extension functions", notation.size(1024), "The largest answer that a function takes in.", default=4 * _MIB
    )
    cache_ttl: float = _setting(
        "Extension functions",
        notation.duration(0, 10 * 366 * 86400),
        "How long `cache.set` keeps a value; 0 is for ever.",
        default=0.0,
    )
    cache_flatten: str = _setting(
        "Extension functions",
        notation.choice("merge", "first", "last"),
        "What `cache.get` makes of the values of several scopes.",
        default="merge",
    )
    function_errors: tuple[tuple[str, str], ...] = _setting(
        "Extension functions",
        notation.FAILURES,
        'What a function that fails is for the policy: an error of the evaluation, undefined, or `{"error": …}`.',
        default=(("*", "fail"),),
    )
    invalid_proof: str = _setting(
        "Extension functions",
        notation.choice("fail", "false"),
        "What `proof.verify` does about a proof that is not valid: fail, as the policy service, or answer `false`.",
        default="fail",
    )
    functions: Path | None = _setting(
        "Extension functions", notation.OPTIONAL_PATH, "A TOML file with functions of your own.", default=None
    )
    function_plugins: tuple[str, ...] = _setting(
        "Extension functions",
        notation.ENTRY_POINTS,
        "Installed Python packages that bring functions, by their entry points (`policy_server.builtins`).",
        default=(),
    )
    nats_url: tuple[str, ...] = _setting(
        "Events",
        notation.NATS,
        "The NATS servers that are told about changes; `NATS_ADDR` is read too.",
        default=(),
        secret=True,
    )
    nats_subject: str = _setting(
        "Events",
        notation.SUBJECT,
        "The subject of what they get; `NATS_SUBJECT` is read too.",
        default="policy_notifier",
    )
    event_sinks: tuple[str, ...] = _setting(
        "Events", notation.SINKS, "Where CloudEvents are posted to, besides webhooks.", default=(), secret=True
    )
    event_format: str = _setting(
        "Events",
        notation.choice("legacy", "changed"),
        "What CloudEvents say: the policy service's `update_policy`, or `policy.changed.v1` with what changed.",
        default="legacy",
    )
    event_poll: float = _setting(
        "Events", notation.duration(0.01, 0.5), "How often to look for changes to tell.", default=0.25
    )
    event_timeout: float = _setting(
        "Events", notation.duration(0.1, 60), "How long one delivery may take.", default=10.0
    )
    event_retry: float = _setting(
        "Events", notation.duration(0.05, 3600), "The first pause after a failed delivery; it triples.", default=5.0
    )
    event_patience: float = _setting(
        "Events",
        notation.duration(1, 30 * 86400),
        "How long a delivery is tried again before it is given up.",
        default=86400.0,
    )

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
        return notation.covered(self.database)

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
            name: (notation.covered if about.secret and redact else notation.shown)(getattr(self, name))
            for name, about in declared()
        }


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def declared() -> Iterator[tuple[str, About]]:
    """Yield the name of every setting and what is declared about it, in order."""
    last = {item.name for item in fields(AccessSettings)}
    for item in sorted(fields(Settings), key=lambda item: item.name in last):
        about = item.metadata.get("about")
        if about is not None:
            yield item.name, about


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def to_environ(overrides: Mapping[str, object]) -> dict[str, str]:
    """Write flags as variables, for the processes that are started next."""
    return {variable(name): notation.shown(value) for name, value in overrides.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as it was given, and by whom."""

    value: object
    origin: str


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
    problems: list[str] = []
    named = config or environ.get(CONFIG_FILE)
    given = _defaults(environ)
    if named:
        given |= _from_file(Path(named), problems)
    given |= _from_mongo(environ) | _from_git(environ) | _from_environ(environ, problems)
    given |= _from_flags(overrides or {}, problems)
    values = _read(given, problems)
    if values.get("storage_url") == "memory:":
        _check_memory(values, given, problems)
    problems += clashes(values.get("git"), values.get("folders"))
    if problems:
        raise SettingsError(
            "; ".join(problems), problems=[Problem(problem, code=SettingsError.slug) for problem in problems]
        )
    return Settings(
        **cast(dict[str, Any], values),  # each was read by the kind its field declares
        origins=MappingProxyType({name: given[name].origin if name in given else "default" for name, _ in declared()}),
        warnings=tuple(environment.warnings(environ)),
    )


def _defaults(environ: Mapping[str, str]) -> dict[str, _Given]:
    """Compute the defaults that depend on the machine."""
    home = Path(environ.get("HOME") or "/")
    state = environ.get("XDG_STATE_HOME") or str(home / ".local" / "state")
    # Not per state directory: making the toolkit's machine code takes half a minute, once for each user is enough.
    cache = environ.get("XDG_CACHE_HOME") or str(home / ".cache")
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "state_dir": _Given(str(Path(state) / "policy-server"), "default"),
        "cache_dir": _Given(str(Path(cache) / "policy-server"), "default"),
        "workers": _Given(max(2, min(4, processors)), "default"),
    }


def _check_memory(values: dict[str, object], given: Mapping[str, _Given], problems: list[str]) -> None:
    """Allow one worker only: each would have a truth of its own."""
    if given["workers"].origin == "default":
        values["workers"] = 1
    elif values.get("workers") != 1:
        problems.append(
            f"storage in memory allows one worker only, but {given['workers'].origin} asks for {values.get('workers')}"
        )


def _from_file(path: Path, problems: list[str]) -> dict[str, _Given]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"the configuration file {path} cannot be read: {error.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"the configuration file {path} is not TOML: {error}")
        return {}
    known = dict(declared())
    found = {}
    for key, value in _flatten(content, known):
        if key in known:
            found[key] = _Given(value, f"{path}: {key}")
        else:
            problems.append(f"{path} sets {key}, which is no setting{_hint(key, known)}")
    return found


def _flatten(
    content: Mapping[str, object], known: Mapping[str, About], prefix: str = ""
) -> Iterator[tuple[str, object]]:
    """Join the names of tables to the keys in them: ``[pexip.service] enabled`` is ``pexip_service_enabled``."""
    for key, value in content.items():
        name = f"{prefix}{key}".replace("-", "_")
        if isinstance(value, Mapping) and name not in known:
            yield from _flatten(value, known, f"{name}_")
        else:
            yield name, value


def _from_mongo(environ: Mapping[str, str]) -> dict[str, _Given]:
    """Read the policy service's names for its database."""
    url = environment.mongo_url(environ)
    return {} if url is None else {"storage_url": _Given(url, environment.MONGO)}


def _from_git(environ: Mapping[str, str]) -> dict[str, _Given]:
    """Read the policy service's names for its Git repository."""
    found = environment.git_repository(environ)
    return {} if found is None else {"git": _Given(found[1], found[0])}


def _from_environ(environ: Mapping[str, str], problems: list[str]) -> dict[str, _Given]:
    """Read aliases, then our own names; an empty variable is as good as none, but for the host."""
    known = dict(declared())
    given = {name: value for name, value in environ.items() if value != "" or name in _MAY_BE_EMPTY}
    found = {name: _Given(given[alias], alias) for alias, name in environment.ALIASES.items() if alias in given}
    for key, value in given.items():
        if not key.startswith(PREFIX) or key in environment.KNOWN or environment.is_service_link(key, value):
            continue
        name = key.removeprefix(PREFIX).lower().replace("__", "_")
        secret = name.removesuffix("_file")
        if name in known:
            found[name] = _Given(value, key)
        elif secret in known and known[secret].secret:
            found[secret] = _from_secret_file(key, value, problems)
            if variable(secret) in given:
                problems.append(f"{variable(secret)} and {key} are both set; one is enough")
        else:
            problems.append(f"{key} is no setting{_hint(key, map(variable, known))}")
    return found


def _from_secret_file(key: str, path: str, problems: list[str]) -> _Given:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        problems.append(f"the file {path} that {key} names cannot be read")
        return _Given("", key)
    # The line end makes it clear that every line is one entry; texts are stripped.
    return _Given(text.rstrip("\n") + "\n", key)


def _from_flags(overrides: Mapping[str, object], problems: list[str]) -> dict[str, _Given]:
    known = dict(declared())
    problems += [f"{name} is no setting{_hint(name, known)}" for name in overrides if name not in known]
    return {
        name: _Given(value, "--" + name.replace("_", "-"))
        for name, value in overrides.items()
        if value is not None and name in known
    }


def _read(given: Mapping[str, _Given], problems: list[str]) -> dict[str, object]:
    values = {}
    for name, about in declared():
        if name not in given:
            continue
        value, origin = given[name].value, given[name].origin
        try:
            values[name] = about.kind.read(value)
        except ValueError as error:
            # SECURITY: what was given for a secret is not repeated.
            problems.append(f"{origin} must be {error}" + ("" if about.secret else f", not {notation.short(value)}"))
    return values


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
