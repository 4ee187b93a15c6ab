"""test: Rego tests, on OPA's interpreter and in WebAssembly."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from cli_ran import Ran

DOOR = """package demo.door

default open := false

open if {
    print("asking for", input.user)
    input.user == "kari"
    count(lookup(input.user)) > 0
}

lookup(user) := http.send({"method": "get", "url": user}).body
"""
TESTS = """package demo.door_test

import data.demo.door

test_kari_may_enter if door.open with input as {"user": "kari"} with http.send as {"body": [1]}

test_ola_may_not if not door.open with input.user as "ola"

test_a_function_is_replaced if door.open with input.user as "kari" with door.lookup as found

test_a_builtin_is_replaced if count([]) == 7 with count as 7

found(_) := [1]
"""
CASES = """package demo.cases_test

test_sum[case.note] if {
    some case in [{"note": "one", "a": 1}, {"note": "two", "a": 2}]
    case.a < 2
}

test_deep[a][b] if {
    some a in ["x", "y"]
    some b in [1, 2]
}
"""


@pytest.fixture
def door(tmp_path: Path) -> Path:
    """Return a directory with a policy and its tests."""
    directory = tmp_path / "door"
    directory.mkdir()
    (directory / "policy.rego").write_text(DOOR)
    (directory / "policy_test.rego").write_text(TESTS)
    return directory


@pytest.fixture
def tests(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a file of tests."""

    def write(text: str) -> Path:
        file = tmp_path / "some_test.rego"
        file.write_text(text)
        return file

    return write


def documents(ran: Ran) -> dict[str, dict]:
    """Return the tests of a JSON report by name."""
    return {each["name"]: each for each in json.loads(ran.out)["tests"]}


def test_tests_run_in_both_places(command: Callable[..., Ran], door: Path) -> None:
    """A row for each test, with both verdicts; mocks of input, functions and builtins work in both."""
    ran = command("test", door)

    rows = [line.split("\t") for line in ran.out.splitlines()]
    assert (ran.code, ran.err) == (0, "")
    assert rows[-1] == ["4 of 4 Rego tests pass"]
    assert [row[1:3] for row in rows[:-1]] == [["pass", "pass"]] * 4
    assert rows[0][0] == f"{door}/policy_test.rego:5: test_kari_may_enter"


def test_versions_of_a_policy_are_tested_apart(command: Callable[..., Ran], door: Path, tmp_path: Path) -> None:
    """Each directory is a unit of its own, because versions have the same package."""
    other = tmp_path / "other"
    other.mkdir()
    for file in door.iterdir():
        (other / file.name).write_text(file.read_text())

    assert command("test", tmp_path).out.endswith("8 of 8 Rego tests pass\n")


def test_a_failing_test_is_shown_with_what_it_printed(command: Callable[..., Ran], door: Path) -> None:
    """Exit 1; prints go to standard error, those of passing tests only with -v."""
    file = door / "policy_test.rego"
    file.write_text(TESTS.replace('"ola"', '"kari" with door.lookup as found'))

    ran = command("test", door)
    told = command("test", "--verbose", door)

    assert ran.code == 1
    assert f"{file}:7: test_ola_may_not\tfail\tfail" in ran.out
    assert ran.out.endswith("3 of 4 Rego tests pass\n")
    assert ran.err == f"{file}:7: test_ola_may_not printed: asking for kari\n"
    assert f"{file}:5: test_kari_may_enter printed: asking for kari" in told.err


def test_what_webassembly_cannot_do_is_told(command: Callable[..., Ran], tests: Callable[[str], Path]) -> None:
    """A rule with arguments is n/a, with the reason; the others of the file run."""
    file = tests("package t_test\n\ntest_other if true\n\ntest_given(x) if x\n")

    ran = command("test", "--format", "json", file)

    found = documents(ran)
    assert found["test_other"]["wasm"]["status"] == "pass"
    assert found["test_given"]["wasm"] == {
        "status": "n/a",
        "duration_ns": 0,
        "output": [],
        "reason": "a rule with arguments cannot be an entrypoint",
    }
    assert found["test_given"]["agree"] is True
    assert "wasm: a rule with arguments cannot be an entrypoint" in command("test", file).out


def test_cases_are_told_one_by_one(command: Callable[..., Ran], tests: Callable[[str], Path]) -> None:
    """A test with a key in its name has a case for each; those that fail are found in both places."""
    ran = command("test", "--format", "json", tests(CASES))

    found = documents(ran)
    assert ran.code == 1
    assert found["test_sum"]["wasm"]["status"] == found["test_sum"]["interpreter"]["status"] == "fail"
    assert found["test_sum"]["cases"] == [
        {"name": "one", "interpreter": "pass", "wasm": "pass"},
        {"name": "two", "interpreter": "fail", "wasm": "fail"},
    ]
    assert [case["name"] for case in found["test_deep"]["cases"]] == ["x/1", "x/2", "y/1", "y/2"]
    assert found["test_deep"]["wasm"]["status"] == "pass"


def test_tests_of_one_name_are_tests_of_their_own(command: Callable[..., Ran], tests: Callable[[str], Path]) -> None:
    """As in OPA: the second is name#01, and may fail though the first passes."""
    found = documents(command("test", "--format", "json", tests("package t\n\ntest_a if true\n\ntest_a if false\n")))

    assert {name: each["wasm"]["status"] for name, each in found.items()} == {"test_a": "pass", "test_a#01": "fail"}
    assert all(each["agree"] for each in found.values())


def test_a_test_that_is_not_true_fails(command: Callable[..., Ran], tests: Callable[[str], Path]) -> None:
    """Undefined, false and other values are no pass; what is left to do is skipped."""
    text = 'package t\n\ntest_none if false\n\ntest_false := false\n\ntest_text := "x"\n\ntodo_test_later if true\n'

    found = documents(command("test", "--format", "json", tests(text)))

    assert {name: (each["interpreter"]["status"], each["wasm"]["status"]) for name, each in found.items()} == {
        "test_none": ("fail", "fail"),
        "test_false": ("fail", "fail"),
        "test_text": ("fail", "fail"),
        "todo_test_later": ("skip", "skip"),
    }


def test_a_disagreement_is_a_failure(
    command: Callable[..., Ran], tests: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """WebAssembly has less memory here than the interpreter; exit 1, and it is said that they do not agree."""
    monkeypatch.setenv("POLICY_EVALUATION_MEMORY", "4MiB")
    file = tests(
        "package t\n\ntest_large if count([x | some x in numbers.range(1, 200000)]) == 200000\n\ntest_small if true\n"
    )

    ran = command("test", file)

    assert ran.code == 1
    assert f"{file}:3: test_large\tpass\terror" in ran.out
    assert f"{file}:3: test_large: interpreter and wasm do not agree" in ran.out
    assert "needed more memory" in ran.out
    assert ran.out.endswith("1 of 2 Rego tests pass (1 disagree)\n")


def test_a_test_that_conflicts_is_an_error_in_both(command: Callable[..., Ran], tests: Callable[[str], Path]) -> None:
    """They agree about that, and it is a failure."""
    text = 'package t\n\nx := 1 if input.a\n\nx := 2 if input.a\n\ntest_x if x == 1 with input as {"a": true}\n'

    ran = command("test", "--format", "json", tests(text))

    found = documents(ran)["test_x"]
    assert (ran.code, found["interpreter"]["status"], found["wasm"]["status"]) == (1, "error", "error")
    assert "multiple outputs" in found["wasm"]["reason"]


def test_some_tests_may_be_chosen(command: Callable[..., Ran], door: Path) -> None:
    """--run takes an expression for the full name; one that is none is misuse."""
    assert command("test", "--run", "door_test.test_(ola|kari)", door).out.endswith("2 of 2 Rego tests pass\n")
    assert command("test", "--run", "(", door).code == 2


def test_no_tests_may_be_a_failure(command: Callable[..., Ran], door: Path) -> None:
    """Without the flag it is not."""
    assert command("test", "--run", "nothing", door) == Ran(0, "0 of 0 Rego tests pass\n", "")
    assert command("test", "--run", "nothing", "--fail-on-empty", door).code == 1


def test_coverage_and_its_threshold(command: Callable[..., Ran], tmp_path: Path) -> None:
    """The rows that no test reaches are named; too little is exit 1, an impossible share is misuse."""
    (tmp_path / "p.rego").write_text("package p\n\na := 1\n\nb := 2 if input.never\n")
    (tmp_path / "p_test.rego").write_text("package p_test\n\ntest_a if data.p.a == 1\n")

    ran = command("test", "--coverage", tmp_path)

    assert ran.code == 0
    assert f"{tmp_path}/p.rego\t50\t5\n" in ran.out
    assert command("test", "--threshold", "70", tmp_path).code == 1
    assert command("test", "--threshold", "60", tmp_path).code == 0
    assert command("test", "--threshold", "101", tmp_path).code == 2


def test_results_come_as_json(command: Callable[..., Ran], door: Path) -> None:
    """Counts beside the tests; coverage when it was asked for."""
    document = json.loads(command("test", "--format", "json", "--coverage", door).out)

    assert len(document["tests"]) == 4
    assert document["summary"] == {
        "tests": 4,
        "passed": 4,
        "failed": 0,
        "skipped": 0,
        "unavailable": 0,
        "disagreed": 0,
    }
    assert set(document["coverage"]["files"]) == {str(file) for file in door.iterdir()}


def test_results_come_as_junit(command: Callable[..., Ran], door: Path) -> None:
    """A suite for each file and place, so that a CI server shows both."""
    (door / "policy_test.rego").write_text(TESTS.replace('"ola"', '"kari" with door.lookup as found'))

    root = ET.fromstring(command("test", "--format", "junit", door).out)  # noqa: S314 - ours

    assert [suite.get("name") for suite in root] == [
        f"{door}/policy_test.rego (interpreter)",
        f"{door}/policy_test.rego (wasm)",
    ]
    assert (root.get("tests"), root.get("failures")) == ("8", "2")
    failed = root.find(".//testcase[@name='test_ola_may_not']")
    assert failed is not None
    assert failed.find("failure") is not None
    assert failed.findtext("system-out") == "asking for kari"


def test_rego_that_does_not_compile_is_a_failure(command: Callable[..., Ran], door: Path) -> None:
    """The place is told, in every format."""
    (door / "policy.rego").write_text("package demo.door\n\nopen if nosuch(1)\n")

    ran = command("test", "--format", "junit", door)

    assert ran.code == 1
    assert f"{door}/policy.rego:3:9: " in ran.err
    assert "nosuch" in ran.out


def test_data_beside_the_tests_is_seen_in_both(command: Callable[..., Ran], door: Path) -> None:
    """data.json of the directory."""
    (door / "data.json").write_text('{"limit": 12345678901234567890123}')
    (door / "policy_test.rego").write_text("package t\n\ntest_limit if data.limit == 12345678901234567890123\n")

    assert command("test", door).out.endswith("1 of 1 Rego tests pass\n")


def test_old_rego_is_tested_too(command: Callable[..., Ran], tests: Callable[[str], Path]) -> None:
    """The dialect is found out."""
    file = tests('package t\n\ntest_old { input.x == 1 with input as {"x": 1} }\n')

    assert command("test", file).out.endswith("1 of 1 Rego tests pass\n")
