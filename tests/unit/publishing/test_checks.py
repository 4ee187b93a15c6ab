"""Sources that do not fit together are told so before anything is compiled."""

from dataclasses import replace

import pytest

from policy_server.model.errors import InvalidSource
from policy_server.model.policy import PolicyId, PolicySource
from policy_server.publishing.checks import LIMITS, check_data, check_source, tidy

SOURCE = PolicySource(PolicyId("r", "g", "n", "1"), "package g.n")
CONFIG = '{"url": "h.test", "method": "GET", "period": "1m"}'


def test_a_full_source_passes() -> None:
    """All parts in order give no complaint but the hint that fetched data wins."""
    full = replace(SOURCE, data="{}", data_config=CONFIG, output_schema="true", export_config='{"namespace":"n"}')

    assert [warning.message for warning in check_source(full)] == [
        "there is a data-config.json as well; the first refresh replaces this data"
    ]


@pytest.mark.parametrize(
    ("part", "text", "message"),
    [
        ("data", "[1]", "data.json: must be a JSON object, not an array"),
        ("data", "", "data.json:1:1: not valid JSON: Expecting value"),
        ("data", '{"a":', "data.json:1:6: not valid JSON: Expecting value"),
        ("data_config", "{}", "data-config.json: 'url' is missing"),
        ("output_schema", '{"type": "objekt"}', "output-schema.json: not a valid JSON Schema at /type"),
        ("export_config", "[]", "export-config.json: must be a JSON object, not an array"),
        ("rego", "package g.n # \ud800", "policy.rego: not valid Unicode"),
    ],
)
def test_each_part_is_checked(part: str, text: str, message: str) -> None:
    """The message names the file."""
    with pytest.raises(InvalidSource) as caught:
        check_source(replace(SOURCE, **{part: text}))

    assert caught.value.message.startswith(message)


def test_huge_parts_are_refused() -> None:
    """A limit is told in bytes."""
    with pytest.raises(InvalidSource, match=r"policy\.rego: has 4194305 bytes; at most 4194304 are accepted"):
        check_source(replace(SOURCE, rego="x" * (LIMITS["policy.rego"] + 1)))


def test_all_wrong_parts_are_told_at_once() -> None:
    """One look is enough to mend everything."""
    with pytest.raises(InvalidSource) as caught:
        check_source(replace(SOURCE, data="[", export_config="["))

    assert {problem.file for problem in caught.value.problems} == {"data.json", "export-config.json"}
    assert caught.value.message.endswith("(and 1 more)")


def test_data_alone_is_checked_the_same_way() -> None:
    """Refreshed and uploaded data meet the same check as a file."""
    assert check_data('{"a": 1}') == ()
    with pytest.raises(InvalidSource, match="must be a JSON object"):
        check_data("null")


def test_a_blank_schema_is_no_schema() -> None:
    """The policy service treats an empty file that way."""
    assert tidy(replace(SOURCE, output_schema=" \n")).output_schema is None
    assert tidy(replace(SOURCE, output_schema="{}")).output_schema == "{}"
