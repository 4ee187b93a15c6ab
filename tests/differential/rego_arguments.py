"""Draws arguments for functions, as Rego text: mostly of the declared types, now and then odd, long or deep."""

import json
from random import Random
from typing import Final, cast

from policy_server.model.values import JsonObject

TEXTS: Final = [
    *[
        "",
        "a",
        "abc",
        "aXbXc",
        " x ",
        "é",
        "日本",
        "ß",
        "İ",
        "ǅ",
        "\u00a0x\u2003",
        "a.b.c",
        "a/b",
        "aaa",
        "aa",
        "x" * 300,
    ],
    *[
        "1",
        "-1",
        "1.5",
        "007",
        ".5",
        "1e3",
        "0x10",
        "1_000",
        "+5",
        "1e400",
        "inf",
        "true",
        "null",
        "1Gi",
        "10M",
        "1.5Ki",
    ],
    *["{}", "[1,]", '{"a":1}', "[1 2]", "01", "1.", '"\\ud800"', '"<>&"', "- a\n- b: [c]\n", "a: &x 1\nb: *x\n"],
    *["YWJj", "YWJj!!", "YWI", "YWI=", "_-8", "6162", "zz", "%41+b", "a=b&c=%20;d", "http://u:p@h:1/p?q#f", "/a/../b"],
    *[
        "10.0.0.0/8",
        "10.1.2.3",
        "::ffff:10.0.0.1/128",
        "::ffff:10.0.0.0/104",
        "2001:db8::/32",
        "10.0.0.1/33",
        "fe80::1%e",
    ],
    *["a*", "*.example.com", "x.example.com", "{a,b}c", "[a-c]", "(a)(b)?", "(", "\\d+", "^a$", "(?i)ABC", "(a+)+$"],
    *[
        "1.2.3",
        "v1.0.0-rc.1+b",
        "1h30m",
        "3d",
        "2006-01-02",
        "RFC3339",
        "2024-02-29T12:00:00Z",
        "Europe/Oslo",
        "%v %d %s",
    ],
    *[
        "\u0000",
        "a\u0000b",
        "\n",
        "\t",
        "'\"",
        "{{.a}}",
        "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
        "{ a { b } }",
        "type A { b: Int }",
    ],
    *["550e8400-e29b-41d4-a716-446655440000", "package a\nx := 1", '{"type": "object"}'],
]
NUMBERS: Final = [
    *["0", "1", "-1", "2", "3", "7", "10", "-7", "0.5", "-0.5", "1.5", "2.5", "-2.5", "0.1", "1e3", "1.0", "36", "16"],
    *["1e20", "1e22", "1e-7", "1e100", "123456789012345678", "9223372036854775807", "9223372036854775808"],
    *["-9223372036854775808", "-9223372036854775809", "4294967296", "2147483648", "-2147483649", "1700000000123456789"],
    "100000000000000000000000000000000000000",
]


LONG_TEXTS: Final = ["a" * 10_000, "é日" * 5_000, "ab c/" * 2_000, "[" * 10_000, "1" * 10_000, '"\\' * 5_000]
LEVELS: Final = 100
"""How deep the deepest arguments are."""


class Arguments:
    """Draws Rego values, as text, mostly of the declared types.

    Collections have up to four members, a share of them, ``long``, from 13 to 40.
    """

    def __init__(self, random: Random, long: float = 0.02) -> None:
        self._random = random
        self._long = long

    def text(self, kind: JsonObject, depth: int = 0) -> str:
        """Return a value of this type in OPA's capability notation, and now and then one of another."""
        name = str(kind.get("type"))
        if self._random.random() < 0.06 or name not in {
            "string",
            "number",
            "boolean",
            "null",
            "array",
            "set",
            "object",
        }:
            return self._any(kind, depth)
        if name in {"array", "set"}:
            return self._collection(kind, name, depth)
        if name == "object":
            return self._object(kind, depth)
        return self._scalar(name)

    def _any(self, kind: JsonObject, depth: int) -> str:
        of = cast("list[JsonObject] | None", kind.get("of")) if kind.get("type") == "any" else None
        if of and self._random.random() < 0.9:
            return self.text(self._random.choice(of), depth)
        if self._random.randrange(60) == 59:
            return self._deep()
        names = ["string", "number", "boolean", "null"] + (["array", "set", "object"] if depth < 3 else [])
        return self.text({"type": self._random.choice(names)}, depth + 1)

    def _scalar(self, name: str) -> str:
        if name == "string":
            if self._random.randrange(60) == 59:
                return json.dumps(self._random.choice(LONG_TEXTS), ensure_ascii=False)
            letters = "".join(self._random.choice('abXé日 .*{}[]()\\/<&"1%:') for _ in range(self._random.randrange(8)))
            return json.dumps(self._random.choice([*TEXTS, letters]), ensure_ascii=False)
        if name == "number":
            near = str(self._random.randrange(-60, 60))
            return self._random.choice([*NUMBERS, near, near, f"{near}.{self._random.randrange(1000)}"])
        return self._random.choice(["true", "false"]) if name == "boolean" else "null"

    def _collection(self, kind: JsonObject, name: str, depth: int) -> str:
        if kind.get("static"):
            parts = [self.text(each, depth + 1) for each in cast("list[JsonObject]", kind["static"])]
        else:
            of = cast("JsonObject", kind.get("dynamic") or kind.get("of") or {"type": "any"})
            parts = [self.text(of, depth + 1) for _ in range(self._size(depth))]
        if name == "array":
            return f"[{', '.join(parts)}]"
        return f"{{{', '.join(parts)}}}" if parts else "set()"

    def _size(self, depth: int) -> int:
        is_long = depth == 0 and self._random.random() >= 1 - self._long
        return self._random.randrange(13, 41) if is_long else self._random.randrange(5)

    def _deep(self) -> str:
        opening, closing = self._random.choice([("[", "]"), ('{"a": ', "}"), ('[{"b": [', "]}]"), ("{", "}")])
        return opening * LEVELS + self._scalar("number") + closing * LEVELS

    def _object(self, kind: JsonObject, depth: int) -> str:
        dynamic = cast("JsonObject", kind.get("dynamic") or {})
        value = cast("JsonObject", dynamic.get("value") or {"type": "any"})
        pairs = {
            json.dumps(self._random.choice(TEXTS), ensure_ascii=False): self.text(value, depth + 1) for _ in range(3)
        }
        for each in cast("list[JsonObject]", kind.get("static") or []):
            pairs[json.dumps(each["key"])] = self.text(cast("JsonObject", each["value"]), depth + 1)
        chosen = list(pairs.items())[: self._random.randrange(4)] if not kind.get("static") else list(pairs.items())
        return f"{{{', '.join(f'{key}: {text}' for key, text in chosen)}}}"
