"""Calls made to hurt, for the tests and for scripts/benchmarks/hostile.py."""

import json

_DEEP = 900
_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join([f'*{chr(97 + level)}'] * 9)}]\n" for level in range(9)
)
HOSTILE = {
    "regex-backtracking": 'regex.match("(a+)+$", input.long)',
    "regex-from-input": "regex.match(input.pattern, input.long)",
    "regex-here": "regex.match(input.pattern, input.some)",
    "regex-repeat": 'regex.replace(input.long, "(.*)(.*)(.*)x", "$3$2$1")',
    "regex-huge-pattern": "regex.is_valid(input.long)",
    "glob-stars": 'glob.match("*a*a*a*a*a*a*a*a*a*b", [], input.long)',
    "globs-match": 'regex.globs_match(concat("", [".*" | some i in numbers.range(1, 300)]), "x.*y")',
    "yaml-aliases": "yaml.unmarshal(input.bomb)",
    "json-depth": "json.unmarshal(input.deep)",
    "json-number": 'json.unmarshal("1e999999999")',
    "graphql-depth": "graphql.parse_query(input.graph)",
    "range": "count(numbers.range(0, 100000000000))",
    "cidr": 'count(net.cidr_expand("10.0.0.0/8"))',
    "shift": "bits.lsh(1, 100000000000)",
    "format": 'sprintf("%1000000000d", [1])',
    "replace": 'replace(input.long, "", input.long)',
    "product": "product([n | some i in numbers.range(1, 20000); n := 999999999999])",
    "power-of-ten": 'to_number("1e99999") * to_number("1e99999")',
    "units": 'units.parse("1e999999Ei")',
    "schema": 'json.match_schema({"a": input.long}, {"properties": {"a": {"pattern": "(a+)+$"}}})',
    "schema-reference": 'json.verify_schema({"$ref": "file:///etc/passwd"})',
    "schema-remote": 'json.match_schema({}, {"$ref": "http://127.0.0.1:9/x"})',
    "template": 'strings.render_template(input.template, {"a": input.many})',
    "walk": "count([path | walk(input.nested, [path, _])])",
    "patch": 'json.patch(input.nested, [{"op": "copy", "from": "", "path": "x"} | some i in numbers.range(1, 40)])',
    "union": "union({input.many_set | some i in numbers.range(1, 3)})",
    "jwt": 'io.jwt.decode(concat(".", [input.long, input.long, input.long]))',
    "certificate": "crypto.x509.parse_certificates(base64.encode(input.long))",
    "module": "rego.parse_module(\"x.rego\", input.parens)",
    "reachable": 'graph.reachable_paths(input.clique, ["0"])',
}  # fmt: skip


def rego(name: str) -> str:
    """Return a policy with ``x``, the call unless the input is empty, and ``y``, which must stay right."""
    return f'package t.p\n\nx := {HOSTILE[name]} if input != {{}}\n\ny := sprintf("%d", [1])\n'


def hostile_input() -> bytes:
    """Return an input of about 2 MB that has everything the calls want."""
    clique = {str(node): [str(other) for other in range(14)] for node in range(14)}
    text = json.dumps(
        {
            "long": "a" * 1_000_000 + "!",
            "pattern": "(a|a)*" * 50,
            "some": "a" * 4_000 + "!",
            "bomb": _BOMB,
            "deep": "[" * 100_000,
            "graph": "{a" * 20_000,
            "template": "{{range .a}}{{range $.a}}{{range $.a}}x{{end}}{{end}}{{end}}",
            "many": list(range(1_000)),
            "nested": 0,
            "parens": "package a\nx := " + "(" * 20_000,
            "clique": clique,
        }
    )
    return text.replace('"nested": 0', f'"nested": {"[" * _DEEP}{"]" * _DEEP}').encode()
