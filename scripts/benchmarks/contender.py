"""Evaluates one policy through one library, in a process of its own, and times every call.

Runs in the environment of the library it measures, so it imports the standard library only until it is asked.
Reads one JSON line at a time from standard input (``{"count": …, "warm": …, "seconds": …}``) and answers each
with figures in microseconds, or ``{"error": …}``.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

Call = Callable[[], object]


class Subject:
    """A policy that is ready to be asked: the call to time, and how to read what it returned."""

    def __init__(
        self, call: Call, read: Callable[[object], object], set_data: Callable[[dict[str, object]], None] | None = None
    ) -> None:
        self.call = call
        self.read = read
        self.set_data = set_data


def ours_bytes(wasm: Path, data: bytes, question: bytes) -> Subject:
    """Bytes in, bytes out, through the embedding API."""
    from policy_server.embed import load  # noqa: PLC0415 - only one contender's library is installed

    policy = load(wasm.read_bytes(), data=json.loads(data))
    return Subject(
        lambda: policy.evaluate_json(question), _from_json, lambda value: policy.set_data(json.dumps(value).encode())
    )


def ours_values(wasm: Path, data: bytes, question: bytes) -> Subject:
    """Python values in and out, through the embedding API."""
    from policy_server.embed import load  # noqa: PLC0415

    policy = load(wasm.read_bytes(), data=json.loads(data))
    value = json.loads(question)
    return Subject(lambda: policy.evaluate(value), lambda answer: answer)


def opa_py_wasm(wasm: Path, data: bytes, question: bytes) -> Subject:
    """The SDK opa-py-wasm as its documentation uses it; Python values in and out."""
    from opapywasm import OpaWasmPolicy  # type: ignore[import-not-found] # noqa: PLC0415 - in its own environment

    policy = OpaWasmPolicy.from_wasm_file(wasm)
    policy.set_data(json.loads(data))
    value = json.loads(question)
    return Subject(lambda: policy.evaluate(value), lambda answer: answer)


def opa_wasmtime(wasm: Path, data: bytes, question: bytes) -> Subject:
    """The SDK opa-wasmtime as its documentation uses it; Python values in, the result set out."""
    from opa_wasmtime import OPAPolicy  # type: ignore[import-not-found] # noqa: PLC0415 - in its own environment

    policy = OPAPolicy(str(wasm))
    policy.set_data(json.loads(data))
    value = json.loads(question)
    return Subject(lambda: policy.evaluate(value), _from_result_set)


def _from_json(answer: object) -> object:
    return json.loads(answer) if isinstance(answer, bytes) else answer


def _from_result_set(answer: object) -> object:
    return answer[0]["result"] if isinstance(answer, list) and answer else answer


LIBRARIES: dict[str, Callable[[Path, bytes, bytes], Subject]] = {
    "ours-bytes": ours_bytes,
    "ours-values": ours_values,
    "opa-py-wasm": opa_py_wasm,
    "opa-wasmtime": opa_wasmtime,
}


def measure(subject: Subject, expected: object, *, count: int, warm: int, seconds: float) -> dict[str, float]:
    """Time calls one by one until ``count`` or the time is up, after some that are not timed.

    Raises:
        ValueError: the answer is not the expected one; a wrong answer is not worth timing.
    """
    answer = subject.read(subject.call())
    if answer != expected:
        raise ValueError(f"it answered {json.dumps(answer, default=str)[:80]}, not {json.dumps(expected)[:80]}")
    call, clock = subject.call, time.perf_counter_ns
    for _ in range(warm):
        call()
    taken: list[int] = []
    began = now = clock()
    limit = began + int(seconds * 1e9)
    while len(taken) < count and now < limit:
        start = clock()
        call()
        now = clock()
        taken.append(now - start)
    whole = clock() - began
    taken.sort()
    return {
        "median": median(taken) / 1000,
        "p99": taken[int(len(taken) * 0.99)] / 1000,
        "mean": whole / len(taken) / 1000,
        "calls": len(taken),
    }


def repeat(subject: Subject, *, count: int) -> dict[str, float]:
    """Evaluate ``count`` times; only the memory afterwards is of interest."""
    call = subject.call
    for _ in range(count):
        call()
    return {"evaluations": count}


def reload(subject: Subject, document: dict[str, object], *, count: int) -> dict[str, float]:
    """Replace the data ``count`` times, each time with a new document, evaluating once after each.

    Raises:
        ValueError: this library's adapter does not replace data.
    """
    set_data, call = subject.set_data, subject.call
    if set_data is None:
        raise ValueError("it does not replace data")
    start = time.perf_counter()
    for turn in range(count):
        set_data({**document, "generation": turn})
        call()
    return {"reloads": count, "milliseconds": (time.perf_counter() - start) * 1000 / count}


def main() -> None:
    """Serve questions until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=sorted(LIBRARIES))
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    directory = arguments.directory
    wasm, data = (directory / "policy.wasm"), (directory / "data.json").read_bytes()
    question, expected = (directory / "input.json").read_bytes(), json.loads((directory / "expected.json").read_bytes())
    try:
        subject = LIBRARIES[arguments.library](wasm, data, question)
    except Exception as error:  # noqa: BLE001 - whatever a library raises is the reason it is not measured
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        return
    for line in sys.stdin:
        print(json.dumps(_answer(subject, expected, data, json.loads(line))), flush=True)


def _answer(
    subject: Subject, expected: object, data: bytes, order: dict[str, Any]
) -> dict[str, float] | dict[str, str]:
    count = int(order["count"])
    try:
        if order.get("do") == "repeat":
            return repeat(subject, count=count)
        if order.get("do") == "reload":
            return reload(subject, json.loads(data), count=count)
        return measure(subject, expected, count=count, warm=int(order["warm"]), seconds=float(order["seconds"]))
    except Exception as error:  # noqa: BLE001 - whatever a library raises is the reason it is not measured
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
