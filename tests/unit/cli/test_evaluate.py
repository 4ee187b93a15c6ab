"""eval: one policy, in this process."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_ran import Ran

REGO = """package demo.greeting

text := sprintf("hello %s, %s", [input.name, data.wish])

agent := external.http.header("User-Agent")
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Return a policy directory with data."""
    directory = tmp_path / "policy"
    directory.mkdir()
    (directory / "policy.rego").write_text(REGO)
    (directory / "data.json").write_text('{"wish": "good day"}')
    return directory


def test_a_directory_is_compiled_and_evaluated(command: Callable[..., Ran], policy: Path) -> None:
    """The value of the whole package, with the data beside the policy."""
    ran = command("eval", policy, "--input", '{"name": "Kari"}', "--header", "user-agent: curl")

    assert ran.code == 0
    assert json.loads(ran.out) == {"agent": "curl", "text": "hello Kari, good day"}


def test_data_and_input_may_be_files(command: Callable[..., Ran], policy: Path, tmp_path: Path) -> None:
    """--data takes the place of data.json."""
    (tmp_path / "data.json").write_text('{"wish": "good night"}')
    (tmp_path / "input.json").write_text('{"name": "Ola"}')

    ran = command(
        "eval", policy, "--data", tmp_path / "data.json", "--input", tmp_path / "input.json", "--format", "json"
    )

    assert ran.out == '{"agent":"","text":"hello Ola, good night"}\n'


def test_input_may_come_from_standard_input(
    command: Callable[..., Ran], policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dash reads it."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"name": "Per"}')))

    assert json.loads(command("eval", policy, "--input", "-").out)["text"] == "hello Per, good day"


def test_a_compiled_module_is_evaluated(command: Callable[..., Ran], policy: Path, tmp_path: Path) -> None:
    """A .wasm file needs no compiler; raw writes texts without quotes."""
    home = tmp_path / "rego" / "demo" / "greeting" / "1.0"
    home.mkdir(parents=True)
    (home / "policy.rego").write_text(
        'package demo.greeting\n\n# METADATA\n# entrypoint: true\ntext := sprintf("hello %s", [input.name])\n'
    )
    command("compile", tmp_path / "rego", "--output", tmp_path / "compiled")
    module = tmp_path / "compiled" / "demo" / "greeting" / "1.0" / "policy.wasm"

    ran = command("eval", module, "-i", '{"name": "Kari"}', "-e", "demo/greeting/text", "--format", "raw")

    assert ran == Ran(0, "hello Kari\n", "")


def test_an_undefined_value_exits_with_1(command: Callable[..., Ran], tmp_path: Path) -> None:
    """Nothing on standard output, so that scripts do not take a word for a value."""
    file = tmp_path / "policy.rego"
    file.write_text("package demo.empty\n\n# METADATA\n# entrypoint: true\nallow if input.x\n")

    assert command("eval", file, "--input", "{}", "--entrypoint", "demo/empty/allow") == Ran(1, "", "undefined\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "{"], "--input is neither a file nor JSON"),
        (["--header", "nothing"], "nothing is not a header; write 'Name: value'."),
        (["--entrypoint", "demo/greeting/none"], "demo/greeting/none"),
        (["--data", "/none.json"], "/none.json cannot be read: No such file or directory."),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    command: Callable[..., Ran], policy: Path, arguments: list[str], message: str
) -> None:
    """Bad arguments are no tracebacks."""
    ran = command("eval", policy, *arguments)

    assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1)
    assert message in ran.err


def test_a_file_that_is_no_module_is_refused(command: Callable[..., Ran], tmp_path: Path) -> None:
    """Bytes that are not WebAssembly are a clear error."""
    (tmp_path / "policy.wasm").write_bytes(b"MZ")

    ran = command("eval", tmp_path / "policy.wasm")

    assert (ran.code, len(ran.err.splitlines())) == (1, 1)


def test_an_endless_policy_is_ended(command: Callable[..., Ran], tmp_path: Path) -> None:
    """The deadline of the settings holds here, too."""
    file = tmp_path / "policy.rego"
    steps = "some zero in [0, -1]; some _ in many; some _ in many; some each in many; each == zero"
    file.write_text(f"package demo.slow\n\nmany := numbers.range(1, 9999)\n\nn if {{ {steps} }}\n")

    ran = command("eval", file, "--set", "evaluation_deadline=100ms")

    assert (ran.code, ran.out) == (1, "")
    assert "deadline" in ran.err


TELLING = """package demo.telling

allow if {
    print("user is", input.user)
    trace("asked")
    input.user == "kari"
}

at := time.now_ns()

agent := external.http.header("User-Agent")
"""


@pytest.fixture
def telling(tmp_path: Path) -> Path:
    """Return a policy that prints and traces."""
    file = tmp_path / "telling.rego"
    file.write_text(TELLING)
    return file


def test_what_a_policy_prints_goes_to_standard_error(command: Callable[..., Ran], telling: Path) -> None:
    """The value alone is on standard output; notes are told beside prints."""
    ran = command("eval", telling, "--input", '{"user": "ola"}', "--entrypoint", "demo/telling", "--format", "json")

    assert (ran.code, ran.err) == (0, "user is ola\nnote: asked\n")
    assert json.loads(ran.out)["agent"] == ""


def test_the_trace_of_the_same_evaluation_is_shown(command: Callable[..., Ran], telling: Path) -> None:
    """Same input, headers and time for OPA's interpreter, so that the two agree; on standard error."""
    ran = command("eval", telling, "-i", '{"user": "kari"}', "-H", "user-agent: curl", "--explain", "full")

    assert ran.code == 0
    assert json.loads(ran.out)["agent"] == "curl"
    assert "policy.rego:6 " in ran.err
    assert '"kari"' in ran.err


def test_an_explanation_has_a_level(command: Callable[..., Ran], telling: Path) -> None:
    """The notes have what trace() said, the fails what was not true; another word is misuse."""
    notes = command("eval", telling, "--input", '{"user": "kari"}', "--explain", "notes").err
    fails = command("eval", telling, "--input", '{"user": "ola"}', "--explain", "fails").err

    assert 'Note "asked"' in notes
    assert "policy.rego:6 " not in notes
    assert "Fail" in fails
    assert command("eval", telling, "--explain", "all").code == 2


def test_coverage_of_one_evaluation_is_told(command: Callable[..., Ran], telling: Path) -> None:
    """The rows that were not reached are named."""
    file = telling.with_name("more.rego")
    file.write_text("package demo.more\n\na := 1 if input.x\n\nb := 2\n")

    ran = command("eval", file, "--input", "{}", "--coverage")

    assert "policy.rego: 50 % reached, not rows 3" in ran.err


def test_a_module_cannot_be_explained(command: Callable[..., Ran], tmp_path: Path) -> None:
    """There is no Rego in it."""
    assert command("eval", tmp_path / "policy.wasm", "--explain", "full").code == 2


def test_answers_that_differ_are_both_shown(command: Callable[..., Ran], tmp_path: Path) -> None:
    """WebAssembly has less memory here than the interpreter; exit 1."""
    file = tmp_path / "policy.rego"
    file.write_text("package demo.large\n\nn := count([x | some x in numbers.range(1, 200000)])\n")

    ran = command("eval", file, "--coverage", "--set", "evaluation_memory=4MiB")

    assert ran.code == 1
    assert "do not agree" in ran.err
    assert "wasm: The evaluation needed more memory than it may use." in ran.err
    assert 'interpreter: {"n":200000}' in ran.err


def test_chance_is_not_compared(command: Callable[..., Ran], tmp_path: Path) -> None:
    """Two evaluations of a policy that draws a number may differ."""
    file = tmp_path / "policy.rego"
    file.write_text('package demo.chance\n\nn := rand.intn("x", 1000000000)\n')

    ran = command("eval", file, "--explain", "notes")

    assert ran.code == 0
    assert "not compared, because rand.intn is called" in ran.err


def test_a_conflict_is_explained_too(command: Callable[..., Ran], tmp_path: Path) -> None:
    """Both fail the same way: that is no disagreement, and the error is told."""
    file = tmp_path / "policy.rego"
    file.write_text("package demo.clash\n\nx := 1 if input.a\n\nx := 2 if input.b\n")

    ran = command("eval", file, "--input", '{"a": true, "b": true}', "--explain", "full")

    assert ran.code == 1
    assert "do not agree" not in ran.err
    assert "complete rules must not produce multiple outputs" in ran.err
