"""How the decision log is set up."""

import pytest

from policy_server.decisions.config import MASKS, SINKS
from policy_server.model.errors import SettingsError
from policy_server.settings import Settings, load_settings

HOME = {"HOME": "/home/ada"}


def settings(**values: str) -> Settings:
    """Read settings from variables."""
    return load_settings(environ={**HOME, **{f"POLICY_DECISION_LOG{name}": value for name, value in values.items()}})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("off", ()),
        ("", ()),
        ("log", ("log",)),
        ("log, store,log", ("log", "store")),
        (
            "file:/var/log/d.jsonl,https://opa.example.com/x?y=1",
            ("file:/var/log/d.jsonl", "https://opa.example.com/x?y=1"),
        ),
    ],
)
def test_sinks_are_a_list(text: str, names: tuple[str, ...]) -> None:
    """Off, or several at once."""
    assert SINKS.read(text).names == names


@pytest.mark.parametrize("text", ["on", "file:relative", "off,log", "ftp://x", "https://", "http://h/#x", "file:"])
def test_a_sink_that_is_none_is_refused(text: str) -> None:
    """With the words that would do."""
    with pytest.raises(ValueError, match="off, or some of log, store, file:/path"):
        SINKS.read(text)


def test_addresses_are_shown_without_passwords() -> None:
    """The rest of the setting is no secret."""
    made = settings(**{"": "log,https://ada:hunter22@example.com/opa?token=hunter33"})

    assert made.dump()["decision_log"] == "log,https://**********@example.com/opa"
    assert SINKS.read(made.dump(redact=False)["decision_log"]) == made.decision_log


def test_masks_are_written_as_they_are_read() -> None:
    """Pointers with any key in them."""
    text = "/input/a~1b/~0c,/result/*/x=hash,/alias=text:some/body: x"

    assert [str(mask) for mask in MASKS.read(text)] == text.split(",")
    assert MASKS.read({"/input/x": "hash"}) == MASKS.read("/input/x=hash")


@pytest.mark.parametrize("text", ["input/x", "/other", "/input=drop", "/input/x=text", "/input/x=hash:k", "/"])
def test_a_mask_that_is_none_is_refused(text: str) -> None:
    """A mask that hides nothing would be worse than none."""
    with pytest.raises(ValueError, match="JSON pointers"):
        MASKS.read(text)


def test_hashes_need_a_key() -> None:
    """Without one, whoever reads the hash of a number finds the number."""
    with pytest.raises(SettingsError, match="POLICY_DECISION_LOG_HASH_KEY"):
        settings(_MASK="/input/user=hash")

    assert settings(_MASK="/input/user=hash", _HASH_KEY="k").decision_log_mask


def test_ages_may_be_days() -> None:
    """As people say them."""
    assert settings(_KEEP="7d").decision_log_keep == settings().decision_log_keep == 7 * 86400
