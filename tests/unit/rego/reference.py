"""The rule book in Python: what docs/rules.md says, written a second time.

Slow and plain on purpose. The property tests hold the Rego to it.
"""

import ipaddress
import json
import re
from typing import Any

LEVELS = 4
LONGEST = 250


def value_of(document: Any, field: Any) -> Any:
    """Return the value of a field, None when there is none."""
    steps = field.split(".") if isinstance(field, str) else field
    if not isinstance(steps, list):
        return None
    for step in steps:
        if isinstance(document, dict) and isinstance(step, str) and step in document:
            document = document[step]
        else:
            return None
    return document


def same(left: Any, right: Any) -> bool:
    """Compare like JSON does: true is not 1."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def in_subnet(subnets: Any, address: Any) -> bool:
    """Tell whether an address is in one of the subnets."""

    def one(subnet: Any) -> bool:
        if not isinstance(subnet, str) or "/" not in subnet:
            return False
        try:
            return ipaddress.ip_address(address) in ipaddress.ip_network(subnet, strict=False)
        except ValueError:
            return False

    return isinstance(address, str) and any(
        one(subnet) for subnet in (subnets if isinstance(subnets, list) else [subnets])
    )


def lowered(value: Any) -> Any:
    """Return text in lower case, and the texts of a list."""
    if isinstance(value, list):
        return [item.lower() if isinstance(item, str) else item for item in value]
    return value.lower() if isinstance(value, str) else value


def matches(pattern: Any, text: Any, flags: int = 0) -> bool:
    """Tell whether a pattern is found; a broken pattern is not."""
    try:
        return re.search(pattern, text, flags) is not None
    except (re.error, TypeError):
        return False


def compare(op: Any, actual: Any, wanted: Any, ignore: bool) -> bool:
    """Apply one operator to one value."""
    if op == "regex":
        return matches(wanted, actual, re.IGNORECASE if ignore else 0)
    if ignore:
        actual, wanted = lowered(actual), lowered(wanted)
    if op == "equals":
        return same(actual, wanted)
    if op == "in_list":
        return isinstance(wanted, list) and any(same(actual, item) for item in wanted)
    if op == "in_subnet":
        return in_subnet(wanted, actual)
    if not (isinstance(actual, str) and isinstance(wanted, str)):
        return False
    table = {
        "contains": wanted in actual,
        "not_contains": wanted not in actual,
        "starts_with": actual.startswith(wanted),
        "ends_with": actual.endswith(wanted),
    }
    return table.get(op, False)


def fits(condition: dict[str, Any], actual: Any) -> bool:
    """Tell whether a value fits a condition."""
    op, wanted = condition.get("op"), condition.get("value")
    if op == "is_set":
        return same(actual not in (None, "", []), condition.get("value", True))
    ignore = condition.get("ignore_case", False) is not False
    if actual is None or (op != "is_set" and "value" not in condition):
        return False
    if isinstance(actual, list):
        fitting = [compare(op, item, wanted, ignore) for item in actual]
        return bool(fitting) and (all(fitting) if op == "not_contains" else any(fitting))
    return compare(op, actual, wanted, ignore)


def holds(condition: Any, document: Any, depth: int = 0) -> bool:
    """Tell whether a condition or group holds; groups nest four deep."""
    if not isinstance(condition, dict):
        return False
    if condition.get("field", False) is not False:
        return fits(condition, value_of(document, condition["field"]))
    if depth == LEVELS:
        return False
    every, some, no = condition.get("all"), condition.get("any"), condition.get("not")
    if isinstance(every, list) and all(holds(item, document, depth + 1) for item in every):
        return True
    if isinstance(some, list) and any(holds(item, document, depth + 1) for item in some):
        return True
    return isinstance(no, dict) and not holds(no, document, depth + 1)


def text_of(value: Any) -> str:
    """Write a value the way placeholders do."""
    if isinstance(value, list):
        return ", ".join(text_of(item) for item in value)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def rendered(text: str, document: Any) -> str:
    """Fill the placeholders of a text."""
    if "{" not in text:
        return text

    def piece(part: str) -> str:
        name, end, rest = part.partition("}")
        if end and name.split(".")[0] in document:
            return text_of(value_of(document, name)) + rest
        return "{" + part

    def section(part: str) -> str:
        first, *others = part.split("{")
        return first + "".join(piece(other) for other in others)

    return "{".join(section(part) for part in text.split("{{"))[:LONGEST]


def filled(value: Any, document: Any) -> Any:
    """Fill the placeholders of all texts in a value."""
    if isinstance(value, str):
        return rendered(value, document)
    if isinstance(value, list):
        return [filled(item, document) for item in value]
    if isinstance(value, dict):
        return {key: filled(item, document) for key, item in value.items()}
    return value


def merged(under: Any, over: Any) -> Any:
    """Lay one object over another, deep."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    return {**under, **{key: merged(under[key], item) if key in under else item for key, item in over.items()}}


def decide(book: dict[str, Any], document: Any) -> dict[str, Any]:
    """Return the decision of a book about a document: the first rule that holds, or otherwise."""
    for place, rule in enumerate(book["rules"]):
        if rule.get("enabled", True) is not False and holds(rule.get("when"), document):
            then, rule_id = rule.get("then", {"action": "default"}), rule.get("id", f"#{place + 1}")
            break
    else:
        then, rule_id = book["otherwise"], "otherwise"
    then = dict(then)
    overrides = then.pop("overrides", None)
    if overrides is not None:
        then["result"] = merged(then.get("result", {}), overrides)
    return {**filled(then, document), "rule_id": rule_id}
