"""Measures one policy, in this process."""

from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from policy_server.cli import options, output
from policy_server.cli.evaluate import Data, Entrypoint, Header, Input, PolicyPath, read_headers, read_input
from policy_server.model.values import JsonObject

if TYPE_CHECKING:
    from policy_server.authoring.measuring import Measured


def bench(
    policy: PolicyPath,
    data: Data = None,
    input_: Input = None,
    header: Header = None,
    entrypoint: Entrypoint = None,
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many evaluations in each.")] = 10_000,
    seconds: Annotated[float, typer.Option(min=0.01, max=60, help="At most so long in each.")] = 2.0,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
    assignments: options.Assignments = None,
) -> None:
    """Measure how fast a policy answers, in WebAssembly and on OPA's interpreter.

    One evaluation at a time, with input and answer as JSON text in WebAssembly, and as values that
    were read before in the interpreter, which runs in the toolkit and is slower there than in a native OPA.
    """
    from policy_server.authoring.measuring import measure, summed
    from policy_server.cli.asking import Question

    settings = options.settings_from(config, assignments, state_dir=state_dir)
    document = read_input(input_)
    question = Question(settings, policy, data, document, read_headers(header or []), entrypoint)
    with closing(question):
        value = question.answered()
        found = {"wasm": summed(measure(question.evaluate, count=count, seconds=seconds))}
        if question.module.rego is not None:
            found["interpreter"] = summed(question.interpreted(count=count, seconds=seconds))
    sizes = {
        "module": len(question.module.wasm),
        "data": len(question.data or b""),
        "input": len(document or b""),
        "result": len(value or b""),
    }
    _write(found, sizes, form)


def _write(found: dict[str, "Measured"], sizes: dict[str, int], form: options.Format) -> None:
    if form is options.Format.JSON:
        document: JsonObject = {**{name: asdict(each) for name, each in found.items()}, "bytes": sizes}
        output.write_json(document)
        return
    rows = [
        (name, each.count, f"{each.per_second:.0f}", f"{each.median_ns / 1e3:.1f} µs", f"{each.p99_ns / 1e3:.1f} µs")
        for name, each in found.items()
    ]
    output.write_table(("runtime", "evaluations", "ops/s", "median", "p99"), rows)
    output.write_table(("bytes of", ""), list(sizes.items()))
