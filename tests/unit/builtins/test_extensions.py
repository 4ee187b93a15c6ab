"""What a failure is for the policy, and which functions there are."""

import pytest
from extension_calls import Extended, new_call

from policy_server.builtins.declare import ANY, OnFailure
from policy_server.builtins.extensions import Extensions, extension_functions
from policy_server.builtins.registry import Registry
from policy_server.model.errors import BuiltinFailed, SettingsError

FAIL, UNDEFINED, VALUE = OnFailure.FAIL, OnFailure.UNDEFINED, OnFailure.VALUE


def test_every_function_is_declared_with_or_without_settings() -> None:
    """A policy compiles wherever it comes to."""
    bare = {str(each["name"]): each for each in Registry.discover().declarations()}
    made = {each.name: each.declaration() for each in extension_functions(Extensions())}

    assert bare == made
    assert len(made) == 29


def test_objects_that_the_original_declares_as_strings_may_be_anything() -> None:
    """So that literals compile, too."""
    made = {each.name: each.args for each in extension_functions(Extensions())}

    assert made["cache.set"][3] == made["task.create"][1] == made["tasklist.create"][1] == ANY
    assert made["proof.verify"] == (ANY,)


def test_a_failure_ends_a_strict_evaluation_and_is_undefined_in_others() -> None:
    """As with every other function."""
    ask, call = Extended(), new_call(strict=False)

    with pytest.raises(BuiltinFailed):
        ask("did_to_url", "x")

    assert ask("did_to_url", "x", call=call) is None
    assert call.errors == ["did_to_url: this is no did:web DID"]


def test_a_failure_may_be_undefined_everywhere() -> None:
    """It is still told."""
    ask, call = Extended(on_failure=(("*", UNDEFINED),)), new_call()

    assert ask("did_to_url", "x", call=call) is None
    assert call.errors == ["did_to_url: this is no did:web DID"]


def test_a_failure_may_be_a_value() -> None:
    """With a word for policies and a sentence for people; also of arguments of the wrong kind."""
    ask, call = Extended(on_failure=(("*", VALUE),)), new_call()

    assert ask("did_to_url", "x", call=call) == {"error": {"code": "argument", "message": "this is no did:web DID"}}
    assert ask("did_to_url", 1, call=call) == {
        "error": {"code": "argument", "message": "operand 1 must be string but got number"}
    }
    assert ask("storage.get", "k", call=call)["error"]["code"] == "unconfigured"
    assert call.errors == []


def test_the_last_rule_that_fits_counts() -> None:
    """All, then some, then one."""
    rules = (("*", VALUE), ("did*", UNDEFINED), ("did_to_url", FAIL))

    made = {each.name: each.on_failure for each in extension_functions(Extensions(on_failure=rules))}

    assert (made["storage.get"], made["did.resolve"], made["did_to_url"]) == (VALUE, UNDEFINED, FAIL)


def test_the_type_of_a_failure_is_part_of_the_declared_one() -> None:
    """Else the compiler would refuse to look at `.error` of a string."""
    made = {each.name: each for each in extension_functions(Extensions(on_failure=(("did_to_url", VALUE),)))}

    assert made["did_to_url"].result == ANY
    assert made["url_to_did"].result == {"type": "string"}


def test_a_rule_for_a_function_that_is_not_there_is_refused() -> None:
    """It is a slip of the pen, and would be found only when the function fails."""
    with pytest.raises(SettingsError, match=r"POLICY_FUNCTION_ERRORS names 'proof\.verfy'"):
        extension_functions(Extensions(on_failure=(("proof.verfy", VALUE),)))


def test_functions_of_opa_keep_opas_rules() -> None:
    """What a failing builtin of OPA is, OPA says."""
    assert not any(each.known_to_opa for each in extension_functions(Extensions(on_failure=(("*", VALUE),))))
