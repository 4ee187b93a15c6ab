"""Settings: what wins over what, and what is refused."""

from pathlib import Path

import pytest

from policy_server.model.errors import SettingsError
from policy_server.model.policy import PolicyId
from policy_server.notation import SecretStr
from policy_server.pexip.kinds import Fallback, RequestKind
from policy_server.settings import Settings, declared, load_settings, to_environ, variable


def load(environ: dict[str, str] | None = None, **others: object) -> Settings:
    """Load with an environment that holds nothing but what the test says."""
    return load_settings(environ={"HOME": "/home/kari"} | (environ or {}), **others)  # type: ignore[arg-type]


def write(directory: Path, text: str) -> Path:
    """Write a configuration file."""
    file = directory / "policy.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_each_source_wins_over_the_ones_before_it(tmp_path: Path) -> None:
    """Defaults give way to the file, the file to the environment, the environment to flags."""
    file = write(tmp_path, 'port = 1001\nthreads = 2\nlog_level = "debug"\n')

    settings = load(
        {"POLICY_THREADS": "3", "POLICY_LOG_LEVEL": "error"}, config=file, overrides={"log_level": "warning"}
    )

    assert (settings.host, settings.port, settings.threads, settings.log_level) == ("127.0.0.1", 1001, 3, "warning")
    assert settings.origins["port"] == f"{file}: port"
    assert settings.origins["threads"] == "POLICY_THREADS"
    assert settings.origins["log_level"] == "--log-level"
    assert settings.origins["host"] == "default"


def test_the_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    """POLICY_CONFIG_FILE names the configuration file."""
    file = write(tmp_path, "port = 1001\n")

    assert load({"POLICY_CONFIG_FILE": str(file)}).port == 1001


def test_tables_in_the_file_spell_longer_names(tmp_path: Path) -> None:
    """A table's name and the key in it make the name of the setting."""
    file = write(
        tmp_path, '[pexip.service]\nenabled = false\n[evaluation]\ndeadline = "250ms"\n[folders]\na = "/srv/a"\n'
    )

    settings = load(config=file)

    assert not settings.pexip_service_enabled
    assert settings.evaluation_deadline == 0.25
    assert settings.folders == (("a", Path("/srv/a")),)


def test_issuers_may_be_a_table_in_the_file(tmp_path: Path) -> None:
    """Each with a list of the repositories it may write."""
    file = write(tmp_path, '[bundle.issuers]\n"https://a.example.com" = ["one", "two"]\n"did:web:b.example.com" = []\n')

    assert load(config=file).bundle_issuers == (
        ("https://a.example.com", ("one", "two")),
        ("did:web:b.example.com", ()),
    )


def test_the_policy_services_signer_is_ours() -> None:
    """Its address and the pace of imports are read."""
    settings = load({"SIGNER_ADDR": "http://signer:8080/", "AUTO_IMPORT_POLL_INTERVAL": "5s"})

    assert (settings.signer_url, settings.auto_import_poll_interval) == ("http://signer:8080", 5.0)
    assert settings.warnings == ()


def test_a_misspelt_variable_is_refused_with_a_suggestion() -> None:
    """A name that begins like ours and is none of ours stops the start."""
    with pytest.raises(SettingsError, match=r"POLICY_PROT is no setting; did you mean POLICY_PORT\?"):
        load({"POLICY_PROT": "8080"})


def test_a_misspelt_key_of_the_file_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    """An unknown key names the file and what was probably meant."""
    file = write(tmp_path, "thread = 8\n")

    with pytest.raises(SettingsError, match=r"sets thread, which is no setting; did you mean threads\?"):
        load(config=file)


def test_an_unknown_flag_is_refused() -> None:
    """What --set names must be a setting."""
    with pytest.raises(SettingsError, match="wrokers is no setting; did you mean workers"):
        load(overrides={"wrokers": "2"})


def test_a_repeated_option_is_shown_as_it_was_given() -> None:
    """In the words of the command line, and not of the program."""
    with pytest.raises(SettingsError, match=r"not 'policies,a=/srv'$"):
        load(overrides={"folders": ["policies", "a=/srv"]})


def test_every_problem_is_told_at_once() -> None:
    """Whoever fixes a configuration sees all of it."""
    with pytest.raises(SettingsError) as caught:
        load({"POLICY_PORT": "x", "POLICY_THREADS": "0", "POLICY_NONSENSE_NAME": "1"})

    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("port", "70000", "a whole number from 1 to 65535, not '70000'"),
        ("bundled", "perhaps", "true or false"),
        ("log_level", "loud", "one of debug, info, warning, error, critical"),
        ("evaluation_deadline", "soon", "a length of time such as 2s"),
        ("evaluation_deadline", "-1s", "a length of time such as 2s"),
        ("pexip_service_deadline", "6s", "to 5 seconds"),
        ("evaluation_memory", "1MB", "at least 4194304 bytes"),
        ("folders", "policies", "repository=path pairs"),
        ("storage_url", "redis://host/0", "sqlite:///path, postgresql://user:password@host/database or mongodb://"),
        ("external_url", "policy.example.com", "an address such as https://policy.example.com"),
        ("metrics_address", "2112", r"empty, or host:port"),
        ("allowed_networks", "10.0.0.0/33", "networks"),
        ("bundle_issuers", "peer.example.com", "did:web"),
        ("bundle_issuers", "did:key:z6Mk", "did:web"),
        ("bundle_issuers", "https://a.example.com/?x=1", "did:web"),
        ("pexip_service_policy", "pexip/service/1.0", "repository/group/name/version"),
        ("pexip_avatar_fallback", "reject", "one of 404"),
        ("host", "not a host", "an address or a host name"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(name: str, value: str, wanted: str) -> None:
    """The message names the variable, what it must be, and what was given."""
    with pytest.raises(SettingsError, match=f"{variable(name)} must be.*{wanted}"):
        load({variable(name): value})


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("evaluation_deadline", "1m30s", 90.0),
        ("evaluation_deadline", "250ms", 0.25),
        ("evaluation_deadline", "1.5", 1.5),
        ("evaluation_memory", "64MiB", 64 << 20),
        ("max_body", "2MB", 2_000_000),
        ("max_body", "4096", 4096),
        ("log_level", "WARN", "warning"),
        ("log_level", "fatal", "critical"),
        ("bundled", "off", False),
        ("folders", "a=/srv/a, b=/srv/b", (("a", Path("/srv/a")), ("b", Path("/srv/b")))),
        ("allowed_networks", "10.0.0.0/8, data.example", ("10.0.0.0/8", "data.example")),
        (
            "bundle_issuers",
            "https://a.example.com/x, did:web:b.example.com%3A8443:team = one | two",
            (("https://a.example.com/x", ()), ("did:web:b.example.com%3A8443:team", ("one", "two"))),
        ),
        ("pexip_service_policy", "mine/pexip/service/2.0", PolicyId("mine", "pexip", "service", "2.0")),
        ("pexip_service_fallback", "not_found", Fallback.NOT_FOUND),
        ("pexip_service_fallback", "Reject", Fallback.REJECT),
        ("pexip__service__enabled", "no", False),
        ("host", "[::1]", "::1"),
    ],
)
def test_values_are_read_the_way_people_write_them(name: str, value: str, read: object) -> None:
    """Durations, sizes, lists and words are understood."""
    assert getattr(load({variable(name): value}), name.replace("__", "_")) == read


def test_the_policy_services_names_are_understood() -> None:
    """Whoever comes from the policy service keeps the variables."""
    environ = {
        "HTTP_HOST": "",
        "HTTP_PORT": "9000",
        "LOG_LEVEL": "DEBUG",
        "METRICS_ADDR": ":2112",
        "EXTERNAL_HTTP_ADDR": "http://policy:8080",
        "REFRESHER_POLL_INTERVAL": "10s",
        "WEB_CONCURRENCY": "3",
    }

    settings = load(environ)

    assert (settings.bind, settings.url) == ("0.0.0.0:9000", "http://policy:8080")
    assert (settings.log_level, settings.metrics_address) == ("debug", ":2112")
    assert (settings.refresh_poll, settings.workers) == (10.0, 3)


def test_our_own_name_wins_over_the_policy_services() -> None:
    """Where both are set, ours counts."""
    assert load({"HTTP_PORT": "9000", "POLICY_PORT": "9001"}).port == 9001


def test_the_policy_services_names_for_access_are_read() -> None:
    """What protected the original protects here."""
    settings = load(
        {
            "AUTH_ENABLED": "t",
            "AUTH_JWK_URL": "https://issuer.example/keys",
            "AUTH_REFRESH_INTERVAL": "10m",
            "IP_FILTER_ENABLE": "1",
            "IP_FILTER_ALLOWED_IPS": "10.0.0.1, fd00::/8",
            "OAUTH_CLIENT_ID": "us",
            "OAUTH_CLIENT_SECRET": "secret",
            "OAUTH_TOKEN_URL": "https://issuer.example/token",
        }
    )

    assert (settings.auth_enabled, settings.auth_jwk_url) == (True, ("https://issuer.example/keys",))
    assert settings.auth_refresh_interval == 600.0
    assert (settings.ip_filter_enable, settings.ip_filter_allowed_ips) == (True, ("10.0.0.1", "fd00::/8"))
    assert (settings.oauth_client_id, settings.oauth_token_url) == ("us", "https://issuer.example/token")
    assert settings.oauth_client_secret == SecretStr("secret")
    assert settings.dump()["oauth_client_secret"] == "**********"
    assert settings.warnings == ()


def test_protection_that_is_switched_off_is_no_problem() -> None:
    """AUTH_ENABLED=false asks for nothing."""
    assert load({"AUTH_ENABLED": "false", "IP_FILTER_ENABLE": "false", "MONGO_ADDR": ""}).warnings == ()


def test_what_may_be_ignored_gives_a_warning() -> None:
    """What another service would do with a variable and we do otherwise is told in the log."""
    settings = load({"HTTP_WRITE_TIMEOUT": "5s", "USE_NGROK": "true"})

    assert [warning.split(":")[0] for warning in settings.warnings] == [
        "HTTP_WRITE_TIMEOUT has no effect",
        "USE_NGROK has no effect",
    ]


def test_addresses_of_neighbours_keep_their_names() -> None:
    """Whoever moves here from the policy service changes nothing."""
    names = ("CACHE_ADDR", "TASK_ADDR", "SIGNER_ADDR", "DID_RESOLVER_ADDR", "OCM_ADDR", "TRAIN_ADDR")

    settings = load({name: f"http://{name.lower()}:8080/" for name in names})

    assert settings.warnings == ()
    assert settings.cache_url == "http://cache_addr:8080"
    assert settings.task_url == "http://task_addr:8080"
    assert settings.signer_url == "http://signer_addr:8080"
    assert settings.did_resolver_url == "http://did_resolver_addr:8080"
    assert settings.ocm_url == "http://ocm_addr:8080"
    assert settings.train_url == "http://train_addr:8080"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("value", (("*", "value"),)),
        ("undefined, proof.verify=fail", (("*", "undefined"), ("proof.verify", "fail"))),
        ("ocm.*=value", (("ocm.*", "value"),)),
        ("*=value", (("*", "value"),)),
    ],
)
def test_what_failures_are_is_one_list(given: str, read: object) -> None:
    """A word for all, and names with words."""
    assert load({"POLICY_FUNCTION_ERRORS": given}).function_errors == read


@pytest.mark.parametrize("given", ["never", "a=b", "=value", "a b=value", "value=", "a==value"])
def test_what_failures_are_is_checked(given: str) -> None:
    """A word that is none is refused."""
    with pytest.raises(SettingsError, match="POLICY_FUNCTION_ERRORS must be fail, undefined or value"):
        load({"POLICY_FUNCTION_ERRORS": given})


def test_names_of_packages_are_checked() -> None:
    """What cannot be an entry point is refused."""
    assert load({"POLICY_FUNCTION_PLUGINS": "acme, other-*"}).function_plugins == ("acme", "other-*")
    with pytest.raises(SettingsError, match="names of entry points"):
        load({"POLICY_FUNCTION_PLUGINS": "a b"})


@pytest.mark.parametrize(
    ("name", "value", "setting", "read"),
    [
        ("NATS_ADDR", "nats:4222", "nats_url", ("nats://nats:4222",)),
        ("NATS_ADDR", "nats://u:p@a:4222,tls://b", "nats_url", ("nats://u:p@a:4222", "tls://b")),
        ("NATS_SUBJECT", "external.policies", "nats_subject", "external.policies"),
        ("POLICY_EVENT_SINKS", "https://a/x?key=1, http://b", "event_sinks", ("https://a/x?key=1", "http://b")),
        ("POLICY_EVENT_FORMAT", "changed", "event_format", "changed"),
    ],
)
def test_who_is_told_about_changes(name: str, value: str, setting: str, read: object) -> None:
    """The policy service's names count too; addresses that hold passwords are covered."""
    settings = load({name: value})

    assert getattr(settings, setting) == read
    assert "p@a" not in settings.dump()["nats_url"]
    assert "key" not in settings.dump()["event_sinks"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POLICY_NATS_URL", "http://do-not-tell"),
        ("POLICY_NATS_SUBJECT", "a.*"),
        ("POLICY_NATS_SUBJECT", "a b"),
        ("POLICY_EVENT_SINKS", "ftp://do-not-tell"),
        ("POLICY_EVENT_FORMAT", "xml"),
        ("POLICY_EVENT_POLL", "2s"),
    ],
)
def test_receivers_that_cannot_be_are_refused(name: str, value: str) -> None:
    """The variable is named; a secret is not repeated."""
    with pytest.raises(SettingsError, match=f"{name} must be") as refused:
        load({name: value})

    assert "do-not-tell" not in refused.value.message


def test_variables_that_kubernetes_makes_are_left_alone() -> None:
    """A service called policy puts POLICY_PORT=tcp://… and others into every container beside it."""
    environ = {
        "POLICY_PORT": "tcp://10.0.0.1:8080",
        "POLICY_SERVICE_HOST": "10.0.0.1",
        "POLICY_SERVICE_PORT_HTTP": "8080",
        "POLICY_PORT_8080_TCP_ADDR": "10.0.0.1",
        "POLICY_SERVER_PORT": "tcp://10.0.0.2:8080",
        "POLICY_SERVER_PORT_8080_TCP": "tcp://10.0.0.2:8080",
    }

    assert load(environ).port == 8080


def test_an_empty_variable_is_as_good_as_none() -> None:
    """Compose files pass empty variables on."""
    assert load({"POLICY_PORT": "", "WEB_CONCURRENCY": ""}).port == 8080


def test_storage_in_memory_has_one_worker() -> None:
    """Each worker would have a truth of its own."""
    assert load({"POLICY_STORAGE_URL": "memory:"}).workers == 1
    with pytest.raises(SettingsError, match="storage in memory allows one worker only, but WEB_CONCURRENCY asks for 2"):
        load({"POLICY_STORAGE_URL": "memory:", "WEB_CONCURRENCY": "2"})


def test_credentials_are_never_shown() -> None:
    """Neither dump, nor repr, nor an error about them holds a password."""
    settings = load({"POLICY_PEXIP_CREDENTIALS": "pexip:s3cret"})

    assert settings.pexip_credentials == (("pexip", SecretStr("s3cret")),)
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings.dump())
    assert settings.dump(redact=False)["pexip_credentials"] == "pexip:s3cret"
    with pytest.raises(SettingsError) as caught:
        load({"POLICY_PEXIP_CREDENTIALS": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_credentials_may_be_in_a_file(tmp_path: Path) -> None:
    """Each line of the file is one pair, so that passwords may hold commas."""
    file = tmp_path / "credentials"
    file.write_text("pexip:a,b\nold:c", encoding="utf-8")

    settings = load({"POLICY_PEXIP_CREDENTIALS_FILE": str(file)})

    assert settings.pexip_credentials == (("pexip", SecretStr("a,b")), ("old", SecretStr("c")))


def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message names the variable and the file."""
    with pytest.raises(SettingsError, match="that POLICY_PEXIP_CREDENTIALS_FILE names cannot be read"):
        load({"POLICY_PEXIP_CREDENTIALS_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize("text", ["port = ", b"\xff\xfe".decode("latin-1")])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    """A broken file is a clear error."""
    file = write(tmp_path, text)

    with pytest.raises(SettingsError, match="is not TOML"):
        load(config=file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing file is an error, not an empty configuration."""
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load(config=tmp_path / "none.toml")


def test_state_is_kept_where_the_desktop_says() -> None:
    """XDG_STATE_HOME is honoured, and has a default."""
    assert load({"XDG_STATE_HOME": "/state"}).state_dir == Path("/state/policy-server")
    assert load().state_dir == Path("/home/kari/.local/state/policy-server")
    assert load({"XDG_CACHE_HOME": "/cache"}).cache_dir == Path("/cache/policy-server")
    assert load().database == "sqlite:////home/kari/.local/state/policy-server/policies.db"


@pytest.mark.parametrize("kind", RequestKind)
def test_every_kind_of_request_has_a_bundled_policy(kind: RequestKind) -> None:
    """Out of the box each of the six is on and answered by the policy of its name."""
    route = load().pexip_route(kind)

    assert (route.enabled, route.fallback, route.deadline) == (True, Fallback.NOT_FOUND, 2.0)
    assert route.policy == PolicyId("bundled", "pexip", str(kind), "1.0")


def test_what_is_dumped_can_be_read_again() -> None:
    """Every value is shown in the form its reader takes."""
    settings = load(
        {
            "POLICY_BUNDLE_ISSUERS": "https://a.example.com=x|y,did:web:b",
            "POLICY_FOLDERS": "a=/srv/a",
            "POLICY_PEXIP_CREDENTIALS": "u:p",
            "POLICY_TOOLKIT": "/opt/t.wasm",
        }
    )

    again = load(to_environ(settings.dump(redact=False)))

    assert again == settings


def test_every_setting_is_described() -> None:
    """The reference has a sentence for each."""
    assert all(about.help.endswith(".") and about.group for _, about in declared())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:s3cret@db:5432/policies", "postgresql://ada:**********@db:5432/policies"),
        ("postgresql://db/p?user=ada&password=s3cret&sslmode=require", "password=**********&sslmode=require"),
        ("mongodb://ada:s3%40cret@a:1,b:2/p?replicaSet=r", "mongodb://ada:**********@a:1,b:2/p?replicaSet=r"),
        ("sqlite:////srv/p.db", "sqlite:////srv/p.db"),
    ],
)
def test_an_address_of_a_store_is_shown_without_its_password(url: str, shown: str) -> None:
    """Everything else of it stays readable."""
    settings = load({"POLICY_STORAGE_URL": url})

    assert shown in settings.dump()["storage_url"]
    assert shown in settings.database_shown
    assert "s3" not in settings.dump()["storage_url"] + settings.database_shown
    assert settings.database == url


def test_the_address_of_a_store_may_be_in_a_file(tmp_path: Path) -> None:
    """As every secret may."""
    (tmp_path / "url").write_text("postgresql://ada:s3cret@db/policies\n")

    assert load({"POLICY_STORAGE_URL_FILE": str(tmp_path / "url")}).database == "postgresql://ada:s3cret@db/policies"


def test_a_wrong_address_of_a_store_is_not_repeated() -> None:
    """There may be a password in it."""
    with pytest.raises(SettingsError) as caught:
        load({"POLICY_STORAGE_URL": "postgres:/ada:s3cret@db"})

    assert "s3cret" not in str(caught.value)


def test_the_names_of_the_policy_service_name_a_mongodb() -> None:
    """Whoever moves here keeps the variables."""
    environ = {
        "MONGO_ADDR": "mongodb://db-0,db-1/?replicaSet=rs",
        "MONGO_USER": "a@b",
        "MONGO_PASS": "p/w",
        "MONGO_DBNAME": "mine",
        "MONGO_COLLECTION": "rules",
        "MONGO_AUTH_MECHANISM": "SCRAM-SHA-256",
    }

    settings = load(environ)

    assert settings.database == (
        "mongodb://a%40b:p%2Fw@db-0,db-1/mine"
        "?replicaSet=rs&authSource=admin&authMechanism=SCRAM-SHA-256&collection=rules"
    )
    assert settings.origins["storage_url"] == "MONGO_ADDR"
    assert settings.warnings == ()
    assert load({"MONGO_ADDR": "db:27017"}).database == "mongodb://db:27017/policy"


def test_our_own_name_of_the_store_wins_over_the_policy_services() -> None:
    """And parts without an address say that they do nothing."""
    assert load({"MONGO_ADDR": "mongodb://db", "POLICY_STORAGE_URL": "memory:"}).database == "memory:"
    assert load({"MONGO_USER": "ada"}).warnings == ("MONGO_USER has no effect without MONGO_ADDR",)


# Git repositories.


def test_git_repositories_are_tables_in_the_file(tmp_path: Path) -> None:
    """Each table is one repository, named as the table."""
    file = tmp_path / "c.toml"
    file.write_text(
        '[git.a]\nurl = "https://h.test/x.git"\ndeleted = "keep"\ninterval = "5m"\n[git.b]\nurl = "git@h:b.git"\n'
    )

    one, two = load(config=file).git.items

    assert (one.name, one.url, one.deleted, one.interval) == ("a", "https://h.test/x.git", "keep", 300.0)
    assert (two.name, two.url) == ("b", "ssh://git@h/~/b.git")


def test_git_repositories_are_pairs_or_json_in_a_variable() -> None:
    """The short form for what needs no more than an address."""
    assert [item.name for item in load({"POLICY_GIT": "a=https://h/a,b=https://h/b"}).git.items] == ["a", "b"]
    (one,) = load({"POLICY_GIT": '{"a": {"url": "https://h/a", "branch": "x/y"}}'}).git.items
    assert one.branch == "x/y"


def test_the_secrets_of_git_repositories_are_covered() -> None:
    """Everything else is shown, and what is dumped can be read again."""
    text = '{"a": {"url": "https://h/a", "token": "t0k", "hook_secret": "h00k"}}'
    settings = load({"POLICY_GIT": text})

    shown = settings.dump()["git"]

    assert "https://h/a" in shown
    assert "t0k" not in shown + repr(settings)
    assert "h00k" not in shown + repr(settings)
    assert load({"POLICY_GIT": settings.dump(redact=False)["git"]}).git == settings.git


@pytest.mark.parametrize(
    "table",
    [
        '{"url": "file:///srv/x"}',
        '{"url": "ext::sh -c id"}',
        '{"url": "/srv/x.git"}',
        '{"url": "https://u:p4ss@h/x"}',
        '{"url": "ssh://-oProxyCommand=id/x"}',
        '{"url": "https://h/x", "folder": "../x"}',
        '{"url": "https://h/x", "branch": "--upload-pack=id"}',
        '{"url": "https://h/x", "deleted": "burn"}',
        '{"url": "https://h/x", "tokn": "p4ss"}',
        '{"url": "https://h/x", "token": "p4ss", "password": "p4ss"}',
        '{"url": "git://h/x", "token": "p4ss"}',
        '{"url": "https://h/x", "ssh_key": "/k"}',
        '{"branch": "x"}',
        "7",
    ],
)
def test_what_cannot_be_a_git_repository_is_refused(table: str) -> None:
    """Local files, helper programs, options in disguise, typing mistakes; secrets are not told."""
    with pytest.raises(SettingsError, match="POLICY_GIT must be") as caught:
        load({"POLICY_GIT": f'{{"a": {table}}}'})

    assert "p4ss" not in str(caught.value)


def test_a_git_repository_needs_a_name_of_its_own() -> None:
    """Two feeds under one name would take policies from each other."""
    with pytest.raises(SettingsError, match="has the name of a folder"):
        load({"POLICY_GIT": "a=https://h/a", "POLICY_FOLDERS": "a=/srv/a"})
    with pytest.raises(SettingsError, match="has the name of a folder"):
        load({"POLICY_GIT": "bundled=https://h/a"})


def test_the_policy_services_variables_make_one_git_repository() -> None:
    """Named after the last element of the address."""
    environ = {
        "POLICY_REPOSITORY_CLONE_URL": "https://git.example/team/rules.git",
        "POLICY_REPOSITORY_USER": "ada",
        "POLICY_REPOSITORY_PASS": "s3cret",
        "POLICY_REPOSITORY_BRANCH": "main",
        "POLICY_REPOSITORY_FOLDER": "prod",
        "SYNC_INTERVAL": "2m",
    }

    settings = load(environ)

    (one,) = settings.git.items
    assert (one.name, one.url, one.user, one.password.read()) == (
        "rules",
        "https://git.example/team/rules.git",
        "ada",
        "s3cret",
    )
    assert (one.branch, one.folder, one.interval, settings.warnings) == ("main", "prod", 120.0, ())


def test_the_sync_programs_variables_make_one_too() -> None:
    """A password in the address is taken out of it; parts without an address give a warning."""
    (one,) = load({"POLICY_REPO": "https://ada:s3cret@git.example/rules", "POLICY_REPO_BRANCH": "x"}).git.items

    assert (one.url, one.user, one.password.read(), one.branch) == ("https://git.example/rules", "ada", "s3cret", "x")
    assert "no effect without POLICY_REPO" in load({"POLICY_REPO_USER": "ada"}).warnings[0]
