"""How values are written: what is read, and what is refused."""

from pathlib import Path

import pytest
from settings_given import load, write

from policy_server.given import variable
from policy_server.model.errors import SettingsError
from policy_server.model.policy import PolicyId
from policy_server.pexip.kinds import Fallback


def test_issuers_may_be_a_table_in_the_file(tmp_path: Path) -> None:
    """Each with a list of the repositories it may write."""
    file = write(tmp_path, '[bundle.issuers]\n"https://a.example.com" = ["one", "two"]\n"did:web:b.example.com" = []\n')

    assert load(config=file).bundle_issuers == (
        ("https://a.example.com", ("one", "two")),
        ("did:web:b.example.com", ()),
    )


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
