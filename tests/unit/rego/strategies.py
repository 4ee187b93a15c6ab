"""Random rule books and documents that have a good chance to meet."""

from typing import Any

from hypothesis import strategies as st

OPERATORS = [
    "equals",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "regex",
    "in_list",
    "in_subnet",
    "is_set",
]
FIELDS: list[Any] = [
    "local.user",
    "call.vendor",
    "call.registered",
    "call.remote_port",
    "call.remote_address",
    "call.unset",
    "idp_attributes.groups",
    ["idp_attributes", "http://x.example/a.b"],
    "alias",
    "no.such.field",
    "local.user.deeper",
    "",
    5,
    [],
]
WORDS = ["", "a", "b", "ab", "aB", "Ab", "room", "Room-7", "é", "É", "naïve room"]
SUBNETS = ["10.0.0.0/8", "10.20.0.0/16", "10.20.4.9/32", "2001:db8::/32", "::/0", "0.0.0.0/0", "10.0.0.0/33", "x", ""]
ADDRESSES = ["10.20.4.9", "10.0.0.1", "203.0.113.80", "2001:db8:20::5", "10.0.0", "x"]
PATTERNS = ["a", "^a", "b$", "^[a-z]+$", "R(oo)m", "[", "(", "a{2}", "", "^room-[0-9]+$", "é"]

_texts = st.sampled_from(WORDS)
_scalars = _texts | st.sampled_from(ADDRESSES) | st.booleans() | st.integers(-3, 9) | st.none()

documents = st.fixed_dictionaries(
    {
        "local": st.fixed_dictionaries({"user": _texts | st.none()}),
        "call": st.fixed_dictionaries(
            {
                "vendor": _scalars,
                "registered": st.booleans() | st.none(),
                "remote_port": st.integers(-3, 9) | st.none(),
                "remote_address": st.sampled_from(ADDRESSES) | st.none(),
                "unset": st.none(),
            }
        ),
        "idp_attributes": st.fixed_dictionaries(
            {"groups": st.lists(_texts, max_size=3), "http://x.example/a.b": st.lists(_texts, max_size=2)}
        ),
        "alias": _texts | st.none(),
    }
)

_values = st.one_of(
    _scalars,
    st.sampled_from(PATTERNS),
    st.sampled_from(SUBNETS),
    st.lists(_scalars, max_size=3),
    st.lists(st.sampled_from(SUBNETS), max_size=3),
)

leaves = st.fixed_dictionaries(
    {"field": st.sampled_from(FIELDS), "op": st.sampled_from([*OPERATORS, "like", None]), "value": _values},
    optional={"ignore_case": st.booleans()},
)

_nonsense: st.SearchStrategy[Any] = st.sampled_from(
    [{}, None, 5, "x", [], {"all": 5}, {"any": {"a": {}}}, {"not": 5}, {"field": "alias"}, {"op": "equals"}]
)

conditions: st.SearchStrategy[Any] = st.recursive(
    leaves | _nonsense,
    lambda inner: st.one_of(
        st.builds(lambda members: {"all": members}, st.lists(inner, max_size=3)),
        st.builds(lambda members: {"any": members}, st.lists(inner, max_size=3)),
        st.builds(lambda member: {"not": member}, inner),
    ),
    max_leaves=8,
)

_templates = st.sampled_from(
    [
        "plain",
        "{local.user}",
        "Room {local.user} ({idp_attributes.groups})",
        "{call.registered}/{call.remote_port}/{call.unset}",
        "{{local.user}",
        "{{{local.user}}}",
        "{nobody.knows} {",
        "{} {4} {alias",
        "é{alias}é{alias}",
        "x" * 240 + "{local.user}{call.vendor}{alias}",
    ]
)
_results = st.recursive(
    _templates | st.integers(0, 9) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)
# The whole answer is one level, the result another: texts are filled down to the fifth.
_shallow = st.dictionaries(st.sampled_from("abc"), _templates | st.lists(_templates, max_size=2), max_size=3)

outcomes = st.fixed_dictionaries(
    {"action": st.sampled_from(["continue", "default"])},
    optional={"result": _shallow, "overrides": _shallow, "reason": _templates},
)

rules = st.fixed_dictionaries(
    {"when": conditions, "then": outcomes},
    optional={"id": st.sampled_from(["r1", "r2"]), "name": _texts, "enabled": st.booleans()},
)

books = st.fixed_dictionaries({"rules": st.lists(rules, max_size=12), "otherwise": outcomes})
