"""Aliases taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.pexip.aliases import NO_ALIAS, split_alias


@pytest.mark.parametrize(
    ("raw", "scheme", "user", "domain", "bare"),
    [
        ("engineering", None, "engineering", None, "engineering"),
        ("sip:Engineering@Example.com", "sip", "engineering", "example.com", "engineering@example.com"),
        ("SIPS:a@b.example:5061;transport=tls", "sips", "a", "b.example", "a@b.example"),
        ("h323:kari@corp.example", "h323", "kari", "corp.example", "kari@corp.example"),
        ("sip:a@d.example;gruu;opaque=app:conf:focus:id:X@y", "sip", "a", "d.example", "a@d.example"),
        ("tel:+4722000000;phone-context=example.com", "tel", "+4722000000", None, "+4722000000"),
        ("sip:+47;ext=5@d.example?subject=x", "sip", "+47", "d.example", "+47@d.example"),
        ("a@b@c.example", None, "a@b", "c.example", "a@b@c.example"),
        ("u@[2001:DB8::1]:5060", None, "u", "[2001:db8::1]", "u@[2001:db8::1]"),
        ("conf:id:77", None, "conf:id:77", None, "conf:id:77"),
        ("møte rom/7", None, "møte rom/7", None, "møte rom/7"),
        ("@example.com", None, None, "example.com", "example.com"),
        ("sip:", "sip", None, None, None),
    ],
)
def test_an_alias_has_parts(
    raw: str, scheme: str | None, user: str | None, domain: str | None, bare: str | None
) -> None:
    """Scheme, parameters and port are not part of what is compared, and case does not matter."""
    assert split_alias(raw) == {"raw": raw, "scheme": scheme, "user": user, "domain": domain, "bare": bare}


@pytest.mark.parametrize("raw", [None, "", "  "])
def test_no_alias_has_no_parts(raw: str | None) -> None:
    """What was not dialed is null in every part."""
    assert split_alias(raw) == NO_ALIAS


@given(st.text())
def test_any_text_can_be_an_alias(raw: str) -> None:
    """No alias is refused, and the bare form does not change when it is split again."""
    bare = split_alias(raw)["bare"]

    assert bare is None or isinstance(bare, str)
    assert bare != ""
