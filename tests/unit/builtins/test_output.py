"""What policies print."""

import logging

import pytest

from policy_server.builtins.call import Call
from policy_server.builtins.registry import Registry
from policy_server.model.policy import Dialect
from policy_server.toolkit.toolkit import Toolkit


def test_printing_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Operands are logged, undefined ones as such."""
    answer = Registry.discover().functions({0: "internal.print"})[0]

    with caplog.at_level(logging.INFO):
        answer(Call({}, 0, 0.0), [b'[{"user"}, {"alice"}, set(), {1, 2}]'])

    assert "policy printed: user alice <undefined> 1|2" in caplog.text


def test_notes_are_true(toolkit: Toolkit) -> None:
    """A trace note never changes a decision."""
    built = toolkit.make({"p.rego": 'package t.p\n\nx if trace("here")\n'}, ["t/p"], dialect=Dialect.V1)

    assert built.builtins == ("trace",)
    assert Registry.discover().functions({0: "trace"})[0](Call({}, 0, 0.0), [b'"here"']) == b"true"
