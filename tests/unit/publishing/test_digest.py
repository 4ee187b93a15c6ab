"""Equal content has an equal digest, other content another one."""

from dataclasses import replace

import pytest

from policy_server.model.policy import Dialect, PolicyId, PolicySource
from policy_server.publishing.digest import revision_digest, source_digest, text_digest

SOURCE = PolicySource(PolicyId("r", "g", "n", "1"), "package g.n", data="{}")


def test_the_digest_is_stable() -> None:
    """A digest in the store means the same after an upgrade of the server."""
    assert source_digest(SOURCE) == "a805ad44054b16732475986d29017971d971b570c93a9f2b33f5a975dbd88c6e"


@pytest.mark.parametrize(
    "changes",
    [
        {"rego": "package g.n "},
        {"data": "{ }"},
        {"data": None},
        {"data_config": "{}"},
        {"output_schema": "{}"},
        {"export_config": "{}"},
        {"dialect": Dialect.V0},
        {"data": None, "data_config": "{}"},
        {"data": ""},
    ],
)
def test_every_part_counts(changes: dict[str, object]) -> None:
    """Nothing an author writes can change without the digest."""
    assert source_digest(replace(SOURCE, **changes)) != source_digest(SOURCE)


def test_identity_and_origin_do_not_count() -> None:
    """The same content elsewhere is the same content."""
    assert source_digest(replace(SOURCE, id=PolicyId("x", "g", "n", "2"), origin="api")) == source_digest(SOURCE)


def test_parts_cannot_be_shifted_into_each_other() -> None:
    """Text that looks like the next part does not make two sources equal."""
    one = replace(SOURCE, rego="a\ndata.json 1\nb", data=None)
    two = replace(SOURCE, rego="a", data="b")

    assert source_digest(one) != source_digest(two)


def test_a_revision_counts_its_data() -> None:
    """New data is a new revision, the same data is not."""
    assert revision_digest(SOURCE, '{"a":1}') != revision_digest(SOURCE, "{}")
    assert revision_digest(SOURCE, None) != revision_digest(SOURCE, "")
    assert revision_digest(SOURCE, "{}") == revision_digest(SOURCE, "{}")


def test_a_text_digest_is_plain_sha256() -> None:
    """Manifests have the same digest of the Rego."""
    assert text_digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
