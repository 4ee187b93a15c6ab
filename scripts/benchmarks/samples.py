"""One usual call of each of OPA's functions, over one input."""

import re
from typing import Final

INPUT: Final[dict[str, object]] = {
    "s": "sip:kari.nordmann@corp.example",
    "t": "corp.example",
    "n": 1234,
    "f": 2.5,
    "l": ["b", "c", "a", "d"],
    "m": [5, 3, 9, 1],
    "o": {"a": 1, "b": {"c": [1, 2, 3]}, "d": "x"},
    "g": {"a": ["b", "c"], "b": ["d"], "c": [], "d": []},
    "now": 1700000000123456789,
    "date": "2024-02-29T12:30:00Z",
    "b64": "c2lwOmthcmk=",
    "hex": "7369703a6b617269",
    "json": '{"a": [1, 2, {"b": "c"}]}',
    "yaml": "a:\n  - 1\n  - b: c\n",
    "ip": "10.1.2.3",
    "net": "10.0.0.0/8",
    "url": "https://user@host.example:8443/path?a=1&b=two#part",
    "jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJrYXJpIn0.gUcbEmljkpUDTtYGgALtGUAF4TQW0tDQfMmjkGw0GoE",
    "key": "secret",
    "uuid": "550e8400-e29b-41d4-a716-446655440000",
    "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    "rego": "package a\n\nallow if input.x == 1\n",
    "graph": "query { hero { name friends { name } } }",
    "graphs": "type Query { hero: Person } type Person { name: String friends: [Person] }",
    "aws": {"method": "get", "url": "https://bucket.s3.amazonaws.com/key"},
    "creds": {"aws_access_key": "A", "aws_secret_access_key": "B", "aws_service": "s3", "aws_region": "us-east-1"},
    "template": "Hello {{.name}}",
    "vars": {"name": "Kari"},
}

_TEXTS = """
concat(", ", input.l)
contains(input.s, "corp")
endswith(input.s, ".example")
format_int(input.n, 16)
indexof(input.s, "@")
indexof_n(input.s, "a")
lower(input.s)
replace(input.s, "corp", "vc")
split(input.s, "@")
sprintf("%s has %d", [input.s, input.n])
startswith(input.s, "sip:")
strings.any_prefix_match(input.s, ["h323:", "sip:"])
strings.any_suffix_match(input.s, [".test", ".example"])
strings.count(input.s, "a")
strings.render_template(input.template, input.vars)
strings.replace_n({"sip:": "", "corp": "vc"}, input.s)
strings.reverse(input.s)
strings.split_n(input.s, ".", 1)
substring(input.s, 4, 4)
trim(input.s, "sip:")
trim_left(input.s, "sip:")
trim_prefix(input.s, "sip:")
trim_right(input.s, "elp")
trim_space(input.s)
trim_suffix(input.s, ".example")
upper(input.s)
regex.match(`^sip:[a-z.]+@corp\\.example$`, input.s)
regex.match(input.t, input.s)
regex.is_valid(input.t)
regex.find_n(`[a-z]+`, input.s, 2)
regex.find_all_string_submatch_n(`([a-z]+)@([a-z]+)`, input.s, 1)
regex.globs_match("a.*", "ab.*")
regex.replace(input.s, `@.*$`, "@vc.example")
regex.split(`[:@]`, input.s)
regex.template_match("sip:{[a-z.]+}@corp.example", input.s, "{", "}")
glob.match("*.example", ["."], input.t)
glob.quote_meta(input.t)
"""
_NUMBERS = """
input.n + 1
input.n - 1
input.n * 2
input.n / 2
input.f * 2.5
input.n % 7
abs(input.n)
ceil(input.f)
floor(input.f)
round(input.f)
bits.and(input.n, 255)
bits.lsh(input.n, 2)
bits.negate(input.n)
bits.or(input.n, 255)
bits.rsh(input.n, 2)
bits.xor(input.n, 255)
numbers.range(1, 10)
numbers.range_step(1, 10, 3)
rand.intn(input.s, 100)
to_number("42")
units.parse("10Gi")
units.parse_bytes("10MB")
"""
_COLLECTIONS = """
array.concat(input.l, input.m)
array.flatten([input.l, input.m])
array.reverse(input.l)
array.slice(input.l, 1, 3)
count(input.l)
max(input.m)
min(input.m)
product(input.m)
sort(input.m)
sum(input.m)
"c" in input.l
{"a", "b"} & {"b", "c"}
{"a", "b"} | {"b", "c"}
{"a", "b"} - {"b", "c"}
intersection({{"a", "b"}, {"b", "c"}})
union({{"a", "b"}, {"b", "c"}})
graph.reachable(input.g, ["a"])
graph.reachable_paths(input.g, ["a"])
json.filter(input.o, ["b/c"])
json.patch(input.o, [{"op": "add", "path": "e", "value": 1}])
json.remove(input.o, ["b/c"])
object.filter(input.o, ["a"])
object.get(input.o, "a", 0)
object.keys(input.o)
object.remove(input.o, ["a"])
object.subset(input.o, {"a": 1})
object.union(input.o, {"e": 1})
object.union_n([input.o, {"e": 1}])
[path | walk(input.o, [path, _])]
[key | some key, _ in input.o]
is_string(input.s)
type_name(input.s)
input.s == input.t
input.n < 5
"""
_ENCODINGS = """
base64.decode(input.b64)
base64.encode(input.s)
base64.is_valid(input.b64)
base64url.decode(input.b64)
base64url.encode(input.s)
base64url.encode_no_pad(input.s)
hex.decode(input.hex)
hex.encode(input.s)
json.is_valid(input.json)
json.marshal(input.o)
json.marshal_with_options(input.o, {"pretty": true})
json.match_schema(input.o, input.schema)
json.unmarshal(input.json)
json.verify_schema(input.schema)
yaml.is_valid(input.yaml)
yaml.marshal(input.o)
yaml.unmarshal(input.yaml)
uri.is_valid(input.url)
uri.parse(input.url)
urlquery.decode("a%20b")
urlquery.decode_object("a=1&b=two")
urlquery.encode(input.s)
urlquery.encode_object({"a": "1"})
"""
_SECURITY = """
crypto.hmac.equal(input.s, input.t)
crypto.hmac.md5(input.s, input.key)
crypto.hmac.sha1(input.s, input.key)
crypto.hmac.sha256(input.s, input.key)
crypto.hmac.sha512(input.s, input.key)
crypto.md5(input.s)
crypto.sha1(input.s)
crypto.sha256(input.s)
io.jwt.decode(input.jwt)
io.jwt.decode_verify(input.jwt, {"secret": input.key})
io.jwt.encode_sign({"alg": "HS256"}, {"sub": "kari"}, {"kty": "oct", "k": "c2VjcmV0"})
io.jwt.verify_hs256(input.jwt, input.key)
providers.aws.sign_req(input.aws, input.creds, input.now)
uuid.parse(input.uuid)
uuid.rfc4122(input.s)
"""
_OTHERS = """
time.add_date(input.now, 0, 1, 1)
time.clock(input.now)
time.date(input.now)
time.diff(input.now, 0)
time.format([input.now, "Europe/Oslo", "2006-01-02 15:04"])
time.now_ns()
time.parse_duration_ns("1h30m")
time.parse_ns("2006-01-02", "2024-02-29")
time.parse_rfc3339_ns(input.date)
time.weekday(input.now)
net.cidr_contains(input.net, input.ip)
net.cidr_contains_matches(input.net, [input.ip])
net.cidr_expand("10.0.0.0/30")
net.cidr_intersects(input.net, "10.1.0.0/16")
net.cidr_is_valid(input.net)
net.cidr_merge(["10.0.0.0/9", "10.128.0.0/9"])
semver.compare("1.2.3", "1.3.0")
semver.is_valid("1.2.3")
graphql.is_valid(input.graph, input.graphs)
graphql.parse_query(input.graph)
graphql.parse_schema(input.graphs)
graphql.schema_is_valid(input.graphs)
rego.parse_module("a.rego", input.rego)
opa.runtime()
"""


def calls() -> list[str]:
    """Return the calls, as Rego expressions."""
    parts = (_TEXTS, _NUMBERS, _COLLECTIONS, _ENCODINGS, _SECURITY, _OTHERS)
    return [line for part in parts for line in part.strip().splitlines()]


_OPERATORS: Final = {
    "+": "plus",
    "-": "minus",
    "*": "mul",
    "/": "div",
    "%": "rem",
    "&": "and",
    "|": "or",
    "in": "internal.member_2",
    "==": "equal",
    "<": "lt",
}


def function_of(call: str) -> str:
    """Return the name of the function that a sample calls."""
    named = re.match(r"([a-z0-9_.]+)\(", call)
    if named is not None:
        return named[1]
    if call.startswith("["):
        return "walk" if "walk(" in call else "iteration"
    return _OPERATORS[
        next(word for word in re.sub(r"\{[^}]*\}|\"[^\"]*\"", "x", call).split()[1:] if word in _OPERATORS)
    ]
