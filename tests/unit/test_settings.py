"""Settings: what wins over what, and what is refused."""

from pathlib import Path

import pytest
from settings_given import load, write

from policy_server.model.errors import SettingsError
from policy_server.model.policy import PolicyId
from policy_server.pexip.kinds import Fallback, RequestKind
from policy_server.settings import declared, to_environ


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


def test_an_empty_variable_is_as_good_as_none() -> None:
    """Compose files pass empty variables on."""
    assert load({"POLICY_PORT": "", "WEB_CONCURRENCY": ""}).port == 8080


def test_storage_in_memory_has_one_worker() -> None:
    """Each worker would have a truth of its own."""
    assert load({"POLICY_STORAGE_URL": "memory:"}).workers == 1
    with pytest.raises(SettingsError, match="storage in memory allows one worker only, but WEB_CONCURRENCY asks for 2"):
        load({"POLICY_STORAGE_URL": "memory:", "WEB_CONCURRENCY": "2"})


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
