"""Results are checked against what the author promised."""

import json
import threading

import pytest

from policy_server.model.errors import InvalidSource, OutputInvalid
from policy_server.publishing.schema import OutputSchemas, compile_schema


def schema(**keywords: object) -> str:
    """Write a schema."""
    return json.dumps(keywords)


def test_a_fitting_result_passes() -> None:
    """No news is good news."""
    OutputSchemas().validate(schema(type="object", required=["allow"]), b'{"allow": true}')


def test_every_misfit_has_a_pointer() -> None:
    """Each problem says where, escaped as JSON pointers are."""
    text = schema(properties={"a/b~c": {"type": "string"}, "n": {"items": {"maximum": 3}}}, required=["z"])

    with pytest.raises(OutputInvalid) as caught:
        OutputSchemas().validate(text, b'{"a/b~c": 1, "n": [1, 7]}')

    found = {(problem.parameter, problem.code) for problem in caught.value.problems}
    assert found == {("", "required"), ("/a~1b~0c", "type"), ("/n/1", "maximum")}


def test_values_are_not_repeated() -> None:
    """A result may hold a PIN; the message has the place, not the value."""
    text = schema(properties={"pin": {"pattern": "^[0-9]{4}$", "enum": ["0000"]}})

    with pytest.raises(OutputInvalid) as caught:
        OutputSchemas().validate(text, b'{"pin": "hunter2"}')

    assert "hunter2" not in caught.value.message + "".join(map(str, caught.value.problems))


def test_a_flood_of_misfits_is_cut() -> None:
    """Fifty problems are enough to begin with."""
    with pytest.raises(OutputInvalid) as caught:
        OutputSchemas().validate(schema(items={"type": "string"}), json.dumps(list(range(1000))).encode())

    assert len(caught.value.problems) == 50


@pytest.mark.parametrize(
    ("name", "value"), [("email", "x"), ("date-time", "now"), ("uri", "no uri"), ("ipv4", "1.2.3"), ("uuid", "1")]
)
def test_formats_are_asserted(name: str, value: str) -> None:
    """As in the policy service, a format is a promise."""
    with pytest.raises(OutputInvalid):
        OutputSchemas().validate(schema(format=name), json.dumps(value).encode())


@pytest.mark.parametrize(
    "dialect",
    [
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ],
)
def test_drafts_are_understood(dialect: str) -> None:
    """Old schemas keep their meaning."""
    text = json.dumps({"$schema": dialect, "type": "string"})

    OutputSchemas().validate(text, b'"a"')
    with pytest.raises(OutputInvalid):
        OutputSchemas().validate(text, b"1")


def test_the_default_draft_is_2020_12() -> None:
    """``prefixItems`` means something without a ``$schema``."""
    with pytest.raises(OutputInvalid):
        OutputSchemas().validate(schema(prefixItems=[{"type": "string"}]), b"[1]")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "1",
        '{"type": "objekt"}',
        '{"$schema": "http://127.0.0.1:1/own", "type": "string"}',
        '{"$ref": "#/$defs/missing"}',
        '{"not":' * 200 + "{}" + "}" * 200,
    ],
)
def test_what_is_no_schema_is_refused(text: str) -> None:
    """The error names output-schema.json."""
    with pytest.raises(InvalidSource, match=r"^output-schema\.json"):
        compile_schema(text)


@pytest.mark.parametrize(
    "reference", ["http://127.0.0.1:1/s.json", "https://example.com/s", "file:///etc/passwd", "other.json", "urn:x"]
)
def test_references_never_leave_the_schema(reference: str) -> None:
    """Neither the network nor the disk is read on behalf of a schema."""
    with pytest.raises(InvalidSource, match="leads out of the schema"):
        compile_schema(json.dumps({"properties": {"a": {"$ref": reference}}}))


def test_a_reference_below_an_id_does_not_leave_either() -> None:
    """An ``$id`` does not turn a relative reference into a request."""
    with pytest.raises(InvalidSource, match="leads out of the schema"):
        compile_schema('{"$id": "http://127.0.0.1:1/x", "$ref": "other.json"}')


def test_references_inside_work() -> None:
    """Definitions, recursion and the known meta-schemas are inside."""
    tree = json.dumps({"properties": {"next": {"$ref": "#"}}, "additionalProperties": False})

    OutputSchemas().validate(tree, b'{"next": {"next": {}}}')
    with pytest.raises(OutputInvalid):
        OutputSchemas().validate(tree, b'{"next": {"nest": {}}}')
    compile_schema('{"$ref": "https://json-schema.org/draft/2020-12/schema"}')


@pytest.mark.parametrize("pattern", ["^(?=a)", r"(a)\1", "(a{1000}){1000}"])
def test_patterns_that_cannot_be_fast_are_refused(pattern: str) -> None:
    """Only patterns that take linear time are accepted."""
    with pytest.raises(InvalidSource, match="this pattern cannot be used"):
        compile_schema(schema(pattern=pattern))


def test_a_catastrophic_pattern_is_harmless() -> None:
    """What hangs other engines is answered at once."""
    with pytest.raises(OutputInvalid):
        OutputSchemas().validate(schema(pattern="^(a+)+$"), json.dumps("a" * 50_000 + "b").encode())


def test_references_that_multiply_are_refused() -> None:
    """Ten definitions that name each other ten times would take hours."""
    definitions = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 10} for i in range(10)}
    text = json.dumps({"$defs": {**definitions, "d10": {"type": "string"}}, "items": {"$ref": "#/$defs/d0"}})

    with pytest.raises(InvalidSource, match="multiply"):
        compile_schema(text)


def test_a_long_chain_of_references_is_an_error_or_works() -> None:
    """Five thousand links do not crash anything."""
    definitions = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(5000)}

    with pytest.raises(InvalidSource):
        compile_schema(json.dumps({"$defs": {**definitions, "d5000": True}, "$ref": "#/$defs/d0"}))


def test_the_number_of_kept_schemas_is_bounded() -> None:
    """Old ones are compiled again when they are needed again."""
    schemas = OutputSchemas(size=2)

    for number in (1, 2, 3, 1):
        schemas.validate(schema(minimum=number), b"9")

    assert len(schemas._compiled) == 2  # the cache has no other face


def test_many_threads_may_check_at_once() -> None:
    """Every thread gets its own verdict."""
    schemas = OutputSchemas(size=2)
    done: list[int] = []

    def check(number: int) -> None:
        for _ in range(200):
            schemas.validate(schema(minimum=number), str(number).encode())
            with pytest.raises(OutputInvalid):
                schemas.validate(schema(minimum=number), str(number - 1).encode())
        done.append(number)

    threads = [threading.Thread(target=check, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(done) == [0, 1, 2, 3]
