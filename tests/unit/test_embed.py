"""Policies inside another program."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from policy_server import embed
from policy_server.model.errors import BuiltinFailed, InvalidJson, InvalidModule, UnknownBuiltin
from policy_server.model.values import Json

REGO = """package t.p

default allow := false

allow if acme.level(input.user) >= data.level

name := acme.name(input.user)
"""

DECLARED = (
    {
        "name": "acme.level",
        "decl": {"type": "function", "args": [{"type": "string"}], "result": {"type": "number"}},
    },
    {"name": "acme.name", "decl": {"type": "function", "args": [{"type": "string"}], "result": {"type": "string"}}},
)


def _level(user: Json) -> Json:
    return {"alice": 3, "bob": 1}.get(str(user), 0)


def _name(user: Json) -> Json | embed.Undefined:
    if user == "eve":
        raise BuiltinFailed("eve is nobody")
    return str(user).title() if user == "alice" else embed.UNDEFINED


@pytest.fixture
def wasm(compile_rego: Callable[..., bytes]) -> bytes:
    """Return a module that calls two functions of the embedding program."""
    return compile_rego(REGO, DECLARED)


@pytest.fixture
def policy(wasm: bytes) -> embed.Policy:
    """Return it loaded."""
    return embed.load(wasm, data={"level": 2}, builtins={"acme.level": _level, "acme.name": _name})


def test_a_program_answers_with_its_own_functions(policy: embed.Policy) -> None:
    """Functions given by name are called with values; the first entrypoint is the default."""
    assert policy.evaluate({"user": "alice"}) == {"allow": True, "name": "Alice"}
    assert policy.evaluate({"user": "bob"}) == {"allow": False}
    assert policy.evaluate_json(b'{"user": "alice"}') == b'{"allow":true,"name":"Alice"}'


def test_a_failing_function_is_undefined(policy: embed.Policy) -> None:
    """BuiltinFailed makes the value undefined, and the reason can be had."""
    errors: list[str] = []

    assert policy.evaluate({"user": "eve"}, errors=errors) == {"allow": False}
    assert errors == ["acme.name: eve is nobody"]


def test_a_bug_in_a_function_is_raised(wasm: bytes) -> None:
    """Anything else a function raises fails the evaluation, with the cause, and the next one is right."""
    broken = iter([ZeroDivisionError(), None])

    def level(_: Json) -> Json:
        failure = next(broken)
        if failure is not None:
            raise failure
        return 5

    policy = embed.load(wasm, data={"level": 2}, builtins={"acme.level": level, "acme.name": _name})

    with pytest.raises(BuiltinFailed, match="ZeroDivisionError") as caught:
        policy.evaluate({"user": "alice"})
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert policy.evaluate({"user": "alice"}) == {"allow": True, "name": "Alice"}


def test_missing_functions_are_named_at_load(wasm: bytes) -> None:
    """A module is refused when nobody answers its functions."""
    with pytest.raises(UnknownBuiltin, match=r"acme\.name"):
        embed.load(wasm, builtins={"acme.level": _level})


def test_a_file_is_as_good_as_bytes(wasm: bytes, tmp_path: Path) -> None:
    """The module may be in a file, and its machine code is kept where the program says."""
    path = tmp_path / "policy.wasm"
    path.write_bytes(wasm)

    policy = embed.load(
        path, data=b'{"level": 9}', builtins={"acme.level": _level, "acme.name": _name}, cache=tmp_path / "cache"
    )

    assert policy.evaluate({"user": "alice"}) == {"allow": False, "name": "Alice"}
    assert list((tmp_path / "cache" / "modules").glob("*.cwasm"))


def test_bad_arguments_are_told(wasm: bytes, tmp_path: Path) -> None:
    """A missing file and data that is no object are clear errors."""
    with pytest.raises(InvalidModule, match="cannot be read"):
        embed.load(tmp_path / "nothing.wasm")
    with pytest.raises(InvalidJson):
        embed.load(wasm, data=b"[]", builtins={"acme.level": _level, "acme.name": _name})


def test_opas_functions_are_answered_by_the_installed_toolkit(
    compile_rego: Callable[..., bytes], toolkit_file: Path, toolkit_cache: Path, tmp_path: Path
) -> None:
    """A module that needs the toolkit gets it; one that is told of a missing toolkit says so."""
    module = compile_rego('package t.p\n\nx := sprintf("%d apples", [input])\n')

    with pytest.raises(UnknownBuiltin):
        embed.load(compile_rego(REGO, DECLARED), toolkit=tmp_path / "none.wasm")
    without = embed.load(module, toolkit=tmp_path / "none.wasm", cache=tmp_path)
    policy = embed.load(module, toolkit=toolkit_file, cache=toolkit_cache.parent)

    assert policy.evaluate(3, deadline=60) == {"x": "3 apples"}
    with pytest.raises(embed.PolicyServerError, match="toolkit"):
        without.evaluate(3, deadline=10)


def test_the_documented_example_runs(compile_rego: Callable[..., bytes], tmp_path: Path) -> None:
    """What the guide shows works as it stands, in a process of its own."""
    guide = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text()
    (tmp_path / "policy.wasm").write_bytes(
        compile_rego("package t.p\n\ndefault allow := false\n\nallow if input.user in data.admins\n")
    )
    example = guide.split("```python\n")[1].split("```")[0]

    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.stdout, done.stderr) == ("{'allow': True}\nb'{\"allow\":false}'\n", "")


def test_threads_may_load_at_once(wasm: bytes) -> None:
    """Loading the same module from several threads works, and every policy answers."""
    found: list[object] = []

    def work() -> None:
        policy = embed.load(wasm, data={"level": 0}, builtins={"acme.level": _level, "acme.name": _name})
        found.append(policy.evaluate({"user": "alice"}))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert found == [{"allow": True, "name": "Alice"}] * 6
