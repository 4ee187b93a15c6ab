"""Cases written by hand, to see what the runner makes of them."""

from collections.abc import Sequence

from opa_suite.cases import Case, Want

from policy_server.model.policy import Dialect
from policy_server.model.values import JsonObject


def want(
    result: Sequence[JsonObject] | None = None,
    *,
    defined: bool | None = None,
    error: str = "",
    code: str = "",
    strict: bool = False,
    sort: bool = False,
) -> Want:
    """An expectation."""
    return Want(defined, result, error, code, strict, sort)


def case(note: str, rule: str, wanted: Want) -> Case:
    """A case that asks one rule of package ``t.<note>``."""
    return Case(
        suite="hand",
        category="hand",
        file="hand.yaml",
        note=note,
        dialect=Dialect.V1,
        modules={f"{note}.rego": f"package t.{note}\n\n{rule}\n"},
        entrypoint=f"t/{note}/answer",
        data="{}",
        input=None,
        want=wanted,
        alone="",
        term=False,
    )
