"""Checks the parts of a source that the compiler does not look at."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from policy_server.model.errors import InvalidSchema, InvalidSource, Problem
from policy_server.model.policy import PolicySource
from policy_server.publishing.config import read_config
from policy_server.publishing.digest import DATA, DATA_CONFIG, EXPORT_CONFIG, OUTPUT_SCHEMA, REGO, parts
from policy_server.publishing.document import invalid, read_object
from policy_server.publishing.schema import compile_schema

LIMITS: Final = {
    REGO: 4 << 20,
    DATA: 64 << 20,
    DATA_CONFIG: 1 << 20,
    OUTPUT_SCHEMA: 1 << 20,
    EXPORT_CONFIG: 64 << 10,
}
"""The largest size of each part, in bytes."""

Warnings = tuple[Problem, ...]


def tidy(source: PolicySource) -> PolicySource:
    """Treat a blank output schema as none, as the policy service does."""
    blank = source.output_schema is not None and not source.output_schema.strip()
    return replace(source, output_schema=None) if blank else source


def check_source(source: PolicySource) -> Warnings:
    """Check all parts; returns warnings, InvalidSource carries every problem found."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for name, text in parts(source).items():
        if text is None:
            continue
        try:
            check_size(name, len(text.encode(errors="surrogatepass")))
            warnings.extend(_CHECKS[name](text))
        except InvalidSource as error:
            problems.extend(error.problems or [Problem(error.message, name)])
    if problems and all(problem.file == OUTPUT_SCHEMA for problem in problems):
        raise InvalidSchema(invalid(*problems).message, problems=problems)
    if problems:
        raise invalid(*problems)
    if source.data is not None and source.data_config is not None:
        warnings.append(Problem("there is a data-config.json as well; the first refresh replaces this data", DATA))
    return tuple(warnings)


def check_data(text: str) -> Warnings:
    """Check a data document: a JSON object that is not too large; InvalidSource."""
    check_size(DATA, len(text.encode(errors="surrogatepass")))
    return read_object(text, file=DATA)[1]


def check_size(name: str, size: int) -> None:
    """Refuse a part larger than its limit; InvalidSource."""
    if size > LIMITS[name]:
        raise invalid(Problem(f"has {size} bytes; at most {LIMITS[name]} are accepted", name))


def _rego(text: str) -> Warnings:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise invalid(Problem("not valid Unicode", REGO)) from error
    return ()


def _schema(text: str) -> Warnings:
    compile_schema(text)
    return ()


_CHECKS: Final[dict[str, Callable[[str], Warnings]]] = {
    REGO: _rego,
    DATA: lambda text: read_object(text, file=DATA)[1],
    DATA_CONFIG: lambda text: read_config(text)[1],
    OUTPUT_SCHEMA: _schema,
    EXPORT_CONFIG: lambda text: read_object(text, file=EXPORT_CONFIG)[1],
}
