"""Two revisions side by side."""

from datetime import UTC, datetime

import pytest

from policy_server.model.policy import Dialect, Manifest, PolicyId, PolicySource, Revision
from policy_server.publishing.history import LARGEST, MOST_LINES, differences

ID = PolicyId("r", "g", "n", "1")


def revision(number: int, rego: str = "package g.n\n", data: str | None = None, **parts: str) -> Revision:
    """Make a revision."""
    manifest = Manifest("d", "s", "1", Dialect.V1, ("g/n",))
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Revision(ID, number, PolicySource(ID, rego, data="{}", **parts), manifest, data, "x", "me", at)


def test_only_parts_that_differ_are_told() -> None:
    """The data is what the revision answered with, whatever its author wrote."""
    old = revision(1, data='{"a": 1}', output_schema="true")
    new = revision(2, data='{"a": 1}', output_schema="false")

    assert [each.part for each in differences(old, new)] == ["output-schema.json"]
    assert differences(old, old) == ()


def test_a_diff_is_unified() -> None:
    """With both numbers in its head; a part that was not there is empty."""
    found = differences(revision(1, "package g.n\na := 1\n"), revision(2, "package g.n\na := 2\n", data='{"x":[1]}'))

    assert {each.part: each.diff for each in found} == {
        "policy.rego": "--- policy.rego (revision 1)\n+++ policy.rego (revision 2)\n"
        "@@ -1,2 +1,2 @@\n package g.n\n-a := 1\n+a := 2\n",
        "data.json": "--- data.json (revision 1)\n+++ data.json (revision 2)\n"
        '@@ -0,0 +1,5 @@\n+{\n+  "x": [\n+    1\n+  ]\n+}\n',
    }


def test_layout_alone_is_told_as_it_is() -> None:
    """The same values in another layout are a difference all the same."""
    (found,) = differences(revision(1, data='{"a": 1}'), revision(2, data='{"a":1}'))

    assert found.diff is not None
    assert found.diff.endswith('-{"a": 1}\n+{"a":1}\n')


@pytest.mark.parametrize("rego", ["#" * (LARGEST + 1), "#\n" * (MOST_LINES + 1)])
def test_what_is_too_large_is_only_said_to_differ(rego: str) -> None:
    """Comparing takes too long."""
    (found,) = differences(revision(1), revision(2, rego))

    assert (found.part, found.diff) == ("policy.rego", None)
