"""Test results for programs."""

from xml.etree import ElementTree as ET

from policy_server.authoring.reports import as_junit
from policy_server.authoring.testing import merged
from policy_server.authoring.verdict import Status, Trial, Verdict


def test_junit_takes_any_text() -> None:
    """Characters that XML does not have are replaced; n/a is skipped with its reason."""
    printed = Verdict(Status.PASS, 1500, ("a\x00b <&>", "\ud800"))
    trial = Trial("p", "test_a", "a.rego", 3, 1, printed, Verdict(Status.UNAVAILABLE, reason="no such thing"))

    root = ET.fromstring(as_junit([trial], ["a.rego:1:1: broken"]))  # noqa: S314 - ours

    assert root.findtext(".//system-out") == "a\ufffdb <&>\n\ufffd"
    assert [each.get("message") for each in root.iter("skipped")] == ["no such thing"]
    assert (root.get("tests"), root.get("errors"), root.get("skipped")) == ("3", "1", "1")


def test_coverage_of_units_is_joined() -> None:
    """Lines are added up, not percentages."""
    one = {"files": {"a": {"covered_lines": 1, "not_covered_lines": 2}}}
    other = {"files": {"b": {"covered_lines": 3}}}

    assert merged([one, other])["coverage"] == 66.67
    assert merged([])["coverage"] == 100.0
