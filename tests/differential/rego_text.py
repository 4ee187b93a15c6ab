"""Writes random Rego that the type checker accepts and that stays small."""

import json
import re
from collections.abc import Mapping
from random import Random
from typing import Final

# Arguments go through `same`, whose type nobody knows: else most calls would not compile.
HEAD: Final = "package t.p\n\nsame(x) := x\n"
NEIGHBOUR: Final = "package t.q\n\nsame(x) := x\n"

_WORDS = ["", "a", "b", "ab", "é", "日", "a.b", "1", "x/y", " a "]
_NUMBERS = ["0", "1", "2", "-1", "3", "10", "0.5", "-1.5", "2.0", "1e3", "4294967296", "12345678901234567890"]
_UNARY = """
count sum product max min sort lower upper abs ceil floor round to_number type_name is_string is_number is_set
is_array json.marshal json.unmarshal json.is_valid base64.encode base64.decode base64url.decode hex.encode
array.reverse array.flatten object.keys trim_space urlquery.encode crypto.md5 yaml.marshal union intersection
object.union_n strings.reverse regex.is_valid units.parse is_object is_null is_boolean
""".split()  # noqa: SIM905 - names are easier to read so
_BINARY = """
contains startswith endswith split concat indexof trim trim_left trim_right trim_prefix trim_suffix format_int
array.concat object.remove object.filter json.remove json.filter object.subset strings.any_prefix_match
numbers.range graph.reachable regex.match regex.split object.union bits.and bits.or bits.xor sprintf indexof_n
strings.count net.cidr_contains
""".split()  # noqa: SIM905 - names are easier to read so
_TERNARY = ["replace", "substring", "array.slice", "object.get", "regex.replace", "glob.match", "regex.find_n"]
_OPERATORS = ["+", "-", "*", "/", "%", "&", "|"]
_COMPARISONS = ["==", "!=", "<", "<=", ">", ">="]
_BASES = [
    "input",
    "input.a",
    "input.b",
    "input.c.d",
    "data.doc",
    "data.doc.list",
    "data.doc.o",
    "input.a[0]",
    "data.nope",
]


class RegoWriter:
    """Draws one policy; everything comes from the given source of randomness."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._names = 0
        self._rules: dict[str, str] = {}

    def policy(self, rules: int) -> Mapping[str, str]:
        """Return modules by file name: package ``t.p`` with so many rules r0, r1…, ``t.q`` with q0 and q1 for them."""
        for name in ["q0", "q1", *(f"r{index}" for index in range(rules))]:
            self._rules[name] = self._rule(name)
        return self._modules(self._rules)

    def excerpt(self, name: str) -> Mapping[str, str]:
        """Return the modules with this rule and those it depends on, in the same order."""
        needed, left = set(), [name]
        while left:
            needed.add(each := left.pop())
            left += [found for found in re.findall(r"\b[rq][0-9]+\b", self._rules[each]) if found not in needed]
        return self._modules({each: text for each, text in self._rules.items() if each in needed})

    def data(self) -> dict[str, object]:
        """Return a data document with ``doc`` and in it what the rules look for, now and then of another type."""
        usual: dict[str, object] = {"list": self._list(1), "o": {**self._object(2), "x": self._object(2)}}
        other: dict[str, object] = {**self._object(1), "list": self.value(1), "o": self.value(1)}
        return {"doc": self._random.choice([usual, usual, other])}

    @staticmethod
    def _modules(rules: Mapping[str, str]) -> Mapping[str, str]:
        own = [text for name, text in rules.items() if name[0] == "r"]
        neighbour = [text for name, text in rules.items() if name[0] == "q"]
        return {"p.rego": "\n".join([HEAD, *own]), "q.rego": "\n".join([NEIGHBOUR, *neighbour])}

    def value(self, depth: int = 0) -> object:
        """Return a JSON value."""
        kind = self._random.randrange(8 if depth < 3 else 5)
        if kind < 2:
            return self._random.choice(_WORDS)
        if kind < 4:
            return json.loads(self._random.choice(_NUMBERS))
        if kind == 4:
            return self._random.choice([None, True, False])
        if kind == 5:
            return self._object(depth)
        return self._list(depth)

    def _object(self, depth: int) -> dict[str, object]:
        return {self._random.choice(_WORDS): self.value(depth + 1) for _ in range(self._random.randrange(4))}

    def _list(self, depth: int) -> list[object]:
        return [self.value(depth + 1) for _ in range(self._random.randrange(4))]

    def _pick(self, *choices: str) -> str:
        return self._random.choice(choices)

    def _fresh(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def _rule(self, name: str) -> str:
        kind = self._random.randrange(6)
        body, variables = self._body(2, [])
        if kind == 0:
            text = f"{name} contains {self._term(2, variables)} if {{ {body} }}\n"
        elif kind == 1:
            text = f"{name}[{self._key(variables)}] := {self._term(2, variables)} if {{ {body} }}\n"
        elif kind == 2:
            otherwise, others = self._body(1, [])
            text = (
                f"{name} := {self._term(2, variables)} if {{ {body} }} "
                f"else := {self._term(1, others)} if {{ {otherwise} }}\n"
            )
        elif kind == 3:
            text = f"default {name} := {json.dumps(self.value(2), ensure_ascii=False)}\n\n"
            text += f"{name} := {self._term(2, [])} if {{ {body} }}\n"
        else:
            text = f"{name} := {self._comprehension(3, [])}\n"
        return text

    def _key(self, variables: list[str]) -> str:
        return json.dumps(self._pick(*_WORDS), ensure_ascii=False) if not variables else self._pick(*variables)

    def _term(self, depth: int, variables: list[str]) -> str:
        kind = self._random.randrange(12 if depth > 0 else 4)
        if kind == 0 or (kind == 1 and not variables):
            return (
                json.dumps(self._pick(*_WORDS), ensure_ascii=False) if self._random.random() < 0.5 else self._number()
            )
        if kind == 1:
            return self._pick(*variables)
        if kind in {2, 3}:
            return self._base()
        if kind == 4:
            return f"[{self._term(depth - 1, variables)}, {self._term(depth - 1, variables)}]"
        if kind == 5:
            key = json.dumps(self._pick(*_WORDS), ensure_ascii=False)
            return f"{{{key}: {self._term(depth - 1, variables)}}}"
        if kind == 6:
            return f"{{{self._term(depth - 1, variables)}, {self._term(depth - 1, variables)}}}"
        if kind in {7, 8}:
            return self._comprehension(depth - 1, variables)
        if kind == 9:
            operator = self._pick(*_OPERATORS)
            return f"(same({self._term(depth - 1, variables)}) {operator} same({self._term(depth - 1, variables)}))"
        return self._call(depth - 1, variables)

    def _number(self) -> str:
        return self._pick(*_NUMBERS)

    def _base(self) -> str:
        if self._rules and self._random.random() < 0.25:
            name = self._pick(*self._rules)
            return f"data.t.{'p' if name[0] == 'r' else 'q'}.{name}"
        return self._pick(*_BASES)

    def _call(self, depth: int, variables: list[str]) -> str:
        names, arity = self._random.choice([(_UNARY, 1), (_BINARY, 2), (_TERNARY, 3)])
        args = ", ".join(f"same({self._term(depth, variables)})" for _ in range(arity))
        return f"{self._random.choice(names)}({args})"

    def _comprehension(self, depth: int, variables: list[str]) -> str:
        body, inner = self._body(max(depth, 1), variables)
        kind = self._random.randrange(5)
        if kind < 3:
            return f"[{self._term(depth - 1, inner)} | {body}]"
        if kind == 3:
            return f"{{{self._term(depth - 1, inner)} | {body}}}"
        key = self._pick(*inner) if inner else '"k"'
        return f"{{json.marshal({key}): {key} | {body}}}"

    def _body(self, depth: int, variables: list[str]) -> tuple[str, list[str]]:
        known = list(variables)
        lines = [self._statement(depth, known) for _ in range(self._random.randrange(1, 4))]
        return "; ".join(lines), known

    def _statement(self, depth: int, known: list[str]) -> str:
        before = list(known)
        collection = f"same({self._term(depth - 1, before)})"
        kind = self._random.randrange(9)
        if kind in {0, 1}:
            known.append(self._fresh())
            return f"some {known[-1]} in {collection}"
        if kind == 2:
            known += [self._fresh(), self._fresh()]
            return f"some {known[-2]}, {known[-1]} in {collection}"
        if kind == 3:
            known += [self._fresh(), self._fresh()]
            return f"some {known[-2]}; {known[-1]} := {collection}[{known[-2]}]"
        if kind == 4:
            known += [self._fresh(), self._fresh()]
            return f"some {known[-2]}, {known[-1]}; walk({collection}, [{known[-2]}, {known[-1]}])"
        if kind == 5:
            known.append(self._fresh())
            return f"{known[-1]} := {self._term(depth, before)}{self._with(depth, before)}"
        if kind == 6:
            return f"not {collection}"
        if kind == 7:
            member = self._fresh()
            condition = f"same({member}) {self._pick(*_COMPARISONS)} same({self._term(0, before)})"
            return f"every {member} in {collection} {{ {condition} }}"
        return f"{collection} {self._pick(*_COMPARISONS)} same({self._term(depth - 1, before)})"

    def _with(self, depth: int, variables: list[str]) -> str:
        if self._random.random() < 0.6:
            return ""
        target = self._pick("input", "input.a", "input.c.d", "data.doc.list", "data.doc.o.x", "data.t.p.same")
        if target.endswith("same"):
            return f" with {target} as {self._pick('count', 'type_name', 'json.marshal')}"
        return f" with {target} as {self._term(min(depth - 1, 1), variables)}"
