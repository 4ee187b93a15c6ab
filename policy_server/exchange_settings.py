"""What is exchanged with others: Git, outgoing requests, bundles, functions, events, and other front doors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from policy_server.access_settings import AccessSettings
from policy_server.decisions.config import MASKS, Mask, Sinks
from policy_server.decisions.config import SINKS as DECISION_SINKS
from policy_server.declaring import setting
from policy_server.model.policy import PolicyId
from policy_server.notation import choices, credentials, networks, numbers, paths, texts
from policy_server.notation.credentials import SecretStr
from policy_server.sources.git_config import GIT, GitRepositories

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings(AccessSettings):
    """Where policies and data come from, what they may ask, and who is told."""

    git: GitRepositories = setting(
        "Git", GIT, "Git repositories to follow; each has its own table.", default=GitRepositories(), secret=True
    )
    git_max_bytes: int = setting(
        "Git", numbers.size(1 << 16), "The most that fetching one commit may receive, packed.", default=256 * _MIB
    )
    git_max_files: int = setting(
        "Git", numbers.number(1, 10_000_000), "The most files and directories of a commit.", default=200_000
    )
    git_max_policies: int = setting(
        "Git", numbers.number(1, 1_000_000), "The most policies of a commit.", default=20_000
    )
    git_timeout: float = setting(
        "Git",
        numbers.duration(0.1, 600),
        "How long a Git server may stay silent; a fetch may take ten times as long.",
        default=30.0,
    )
    data_api_repositories: tuple[str, ...] = setting(
        "Front doors",
        texts.REPOSITORIES,
        "The repositories whose policies `/v1/data/…` finds by their package; empty means all.",
        default=(),
    )
    authzen_policy: PolicyId | None = setting(
        "Front doors", texts.OPTIONAL_POLICY, "The policy that answers AuthZEN's requests.", default=None
    )
    allowed_networks: tuple[str, ...] = setting(
        "Outgoing requests",
        networks.NETWORKS,
        "Private networks and hosts that policies, data sources and events may reach all the same.",
        default=(),
    )
    http_send: str = setting(
        "Outgoing requests",
        choices.choice("off", "allowed", "on"),
        "Whether policies may call `http.send` and `net.lookup_ip_addr`: not at all, for the hosts of"
        " `http_send_hosts`, or for every public host.",
        default="allowed",
    )
    http_send_hosts: tuple[str, ...] = setting(
        "Outgoing requests",
        networks.HOSTS,
        "The hosts policies may reach with `http.send`. Private ones must be in `allowed_networks` too.",
        default=(),
    )
    http_send_policies: tuple[str, ...] = setting(
        "Outgoing requests",
        texts.PATTERNS,
        "The policies that may; `!` before a pattern takes them out.",
        default=("*",),
    )
    http_send_max_bytes: int = setting(
        "Outgoing requests",
        numbers.size(1024),
        "The largest body that `http.send` takes in, packed or unpacked.",
        default=4 * _MIB,
    )
    http_send_cache: int = setting(
        "Outgoing requests",
        numbers.size(0),
        "Memory of each worker for answers that `http.send` keeps across evaluations (`cache`, `force_cache`).",
        default=16 * _MIB,
    )
    http_send_tls_files: tuple[Path, ...] = setting(
        "Outgoing requests",
        paths.PATHS,
        "Files, and directories of files, that policies may name as `tls_…_file`.",
        default=(),
    )
    http_send_tls_env: tuple[str, ...] = setting(
        "Outgoing requests",
        texts.NAMES,
        "Environment variables that policies may name as `tls_…_env_variable`.",
        default=(),
    )
    refresh_poll: float = setting(
        "Outgoing requests", numbers.duration(0.05, 3600), "How often to look whether data is due.", default=1.0
    )
    refresh_timeout: float = setting(
        "Outgoing requests", numbers.duration(0.1, 600), "How long fetching data may take.", default=10.0
    )
    refresh_max_bytes: int = setting(
        "Outgoing requests", numbers.size(1024), "The largest data document that is fetched.", default=32 * _MIB
    )
    refresh_retry: float = setting(
        "Outgoing requests",
        numbers.duration(0.05, 3600),
        "The first pause after a failed fetch; it doubles.",
        default=5.0,
    )
    signer_url: str = setting("Bundles", networks.URL, "The signer service that signs exported bundles.", default="")
    bundle_key: Path | None = setting(
        "Bundles",
        paths.OPTIONAL_PATH,
        "A private key (PEM without a password, or JWK) that signs exported bundles instead of the signer.",
        default=None,
    )
    bundle_trusted_keys: Path | None = setting(
        "Bundles",
        paths.OPTIONAL_PATH,
        "Public keys (JWK Set, JWK or PEM) whose bundles are imported, besides those kept in the store.",
        default=None,
    )
    bundle_issuers: tuple[tuple[str, tuple[str, ...]], ...] = setting(
        "Bundles", networks.ISSUERS, "Who is trusted to serve the keys of bundles to import.", default=()
    )
    bundle_max_bytes: int = setting(
        "Bundles", numbers.size(1024), "The largest bundle that is imported.", default=32 * _MIB
    )
    auto_import_poll_interval: float = setting(
        "Bundles", numbers.duration(0.05, 3600), "How often to look whether a bundle is to be imported.", default=10.0
    )
    cache_url: str = setting(
        "Extension functions",
        networks.URL,
        "The cache service behind `cache.get` and `cache.set`, which also gets every result; `CACHE_ADDR` is read too.",
        default="",
        shown="the server's own store",
    )
    task_url: str = setting(
        "Extension functions",
        networks.URL,
        "The task service behind `task.create` and `tasklist.create`; `TASK_ADDR` is read too.",
        default="",
    )
    did_resolver_url: str = setting(
        "Extension functions",
        networks.URL,
        "The resolver behind `did.resolve`; `DID_RESOLVER_ADDR` is read too.",
        default="",
    )
    ocm_url: str = setting(
        "Extension functions",
        networks.URL,
        "The OCM service behind the `ocm` functions; `OCM_ADDR` is read too.",
        default="",
    )
    train_url: str = setting(
        "Extension functions",
        networks.URL,
        "TRAIN's trusted content resolver behind the `train` functions, with `/tcr/v1`; `TRAIN_ADDR` is read too.",
        default="",
    )
    neighbour_timeout: float = setting(
        "Extension functions",
        numbers.duration(0.01, 600),
        "How long a function waits for such a service, and never longer than its evaluation has time.",
        default=30.0,
    )
    neighbour_max_bytes: int = setting(
        "Extension functions", numbers.size(1024), "The largest answer that a function takes in.", default=4 * _MIB
    )
    cache_ttl: float = setting(
        "Extension functions",
        numbers.duration(0, 10 * 366 * 86400),
        "How long `cache.set` keeps a value; 0 is for ever.",
        default=0.0,
    )
    cache_flatten: str = setting(
        "Extension functions",
        choices.choice("merge", "first", "last"),
        "What `cache.get` makes of the values of several scopes.",
        default="merge",
    )
    function_errors: tuple[tuple[str, str], ...] = setting(
        "Extension functions",
        texts.FAILURES,
        'What a function that fails is for the policy: an error of the evaluation, undefined, or `{"error": …}`.',
        default=(("*", "fail"),),
    )
    invalid_proof: str = setting(
        "Extension functions",
        choices.choice("fail", "false"),
        "What `proof.verify` does about a proof that is not valid: fail, as the policy service, or answer `false`.",
        default="fail",
    )
    functions: Path | None = setting(
        "Extension functions", paths.OPTIONAL_PATH, "A TOML file with functions of your own.", default=None
    )
    function_plugins: tuple[str, ...] = setting(
        "Extension functions",
        texts.ENTRY_POINTS,
        "Installed Python packages that bring functions, by their entry points (`policy_server.builtins`).",
        default=(),
    )
    nats_url: tuple[str, ...] = setting(
        "Events",
        networks.NATS,
        "The NATS servers that are told about changes; `NATS_ADDR` is read too.",
        default=(),
        secret=True,
    )
    nats_subject: str = setting(
        "Events",
        texts.SUBJECT,
        "The subject of what they get; `NATS_SUBJECT` is read too.",
        default="policy_notifier",
    )
    event_sinks: tuple[str, ...] = setting(
        "Events", networks.SINKS, "Where CloudEvents are posted to, besides webhooks.", default=(), secret=True
    )
    event_format: str = setting(
        "Events",
        choices.choice("legacy", "changed"),
        "What CloudEvents say: the policy service's `update_policy`, or `policy.changed.v1` with what changed.",
        default="legacy",
    )
    event_poll: float = setting(
        "Events", numbers.duration(0.01, 0.5), "How often to look for changes to tell.", default=0.25
    )
    event_timeout: float = setting("Events", numbers.duration(0.1, 60), "How long one delivery may take.", default=10.0)
    event_retry: float = setting(
        "Events", numbers.duration(0.05, 3600), "The first pause after a failed delivery; it triples.", default=5.0
    )
    event_patience: float = setting(
        "Events",
        numbers.duration(1, 30 * 86400),
        "How long a delivery is tried again before it is given up.",
        default=86400.0,
    )
    decision_log: Sinks = setting(
        "Decision log",
        DECISION_SINKS,
        "Where each decision is recorded: lines of the log, the store, a file of JSON lines, OPA's upload format.",
        default=Sinks(),
        secret=True,
    )
    decision_log_token: SecretStr | None = setting(
        "Decision log", credentials.SECRET, "The bearer token that addresses are shown.", default=None, secret=True
    )
    decision_log_input: bool = setting(
        "Decision log", choices.SWITCH, "Keep input and result of each decision.", default=True
    )
    decision_log_max_bytes: int = setting(
        "Decision log",
        numbers.size(0),
        "Input and result that are larger together are left out of the record.",
        default=32 << 10,
    )
    decision_log_mask: tuple[Mask, ...] = setting(
        "Decision log", MASKS, "What is hidden besides PINs, passwords and tokens, which always are.", default=()
    )
    decision_log_hash_key: SecretStr | None = setting(
        "Decision log", credentials.SECRET, "The key of masks with `=hash` (HMAC).", default=None, secret=True
    )
    decision_log_queue: int = setting(
        "Decision log",
        numbers.number(1, 1_000_000),
        "How many decisions may wait in each worker, for their masks and for each sink; then the oldest are dropped.",
        default=4096,
    )
    decision_log_keep: float = setting(
        "Decision log",
        numbers.duration(60, 100 * 366 * 86400),
        "How long the store keeps decisions, such as `7d`.",
        default=7 * 86400.0,
    )
    decision_log_keep_records: int = setting(
        "Decision log", numbers.number(1, 1_000_000_000), "How many decisions the store keeps.", default=100_000
    )
