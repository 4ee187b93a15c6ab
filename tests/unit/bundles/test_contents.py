"""What is in a bundle."""

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta, timezone

import pytest
from bundle_desk import Desk
from bundle_samples import REGO, bundle, metadata, private, signed

from policy_server.bundles.archive import write_zip
from policy_server.bundles.contents import digest_of, go_time, open_bundle, source_of, write_inner
from policy_server.bundles.signatures import sign
from policy_server.model.errors import BrokenBundle, BundleUnverified, InvalidBundle, NotABundle
from policy_server.model.policy import PolicyId

PARTS = {
    "data": '{"a": 1.50}',
    "data_config": '{"url": "https://h.example.com", "method": "GET", "period": "1h"}',
    "output_schema": '{"type": "object"}',
    "export_config": '{"namespace": "n", "key": "k"}',
}


def test_a_policy_is_packed_in_the_order_of_the_original(desk: Desk) -> None:
    """metadata.json, policy.rego, then what there is."""
    desk.publish("r/g/p/1.0", REGO, **PARTS)

    inner = write_inner(desk.store.get(PolicyId("r", "g", "p", "1.0")), "https://us.example.com/key")

    with zipfile.ZipFile(io.BytesIO(inner)) as archive:
        read = {name: archive.read(name).decode() for name in archive.namelist()}
    assert list(read) == [
        "metadata.json", "policy.rego", "data.json", "data-config.json", "output-schema.json", "export-config.json",
    ]  # fmt: skip
    assert read["policy.rego"] == REGO
    assert read["data.json"] == PARTS["data"]
    assert read["metadata.json"] == (
        '{"policy":{"name":"p","group":"g","version":"1.0","repository":"r","locked":false,'
        '"lastUpdate":"2026-01-02T03:04:05Z"},"publicKeyURL":"https://us.example.com/key"}'
    )


def test_blank_parts_are_left_out(desk: Desk) -> None:
    """As the original does."""
    desk.publish("r/g/p/1.0", REGO, output_schema=" ", export_config=PARTS["export_config"])

    inner = write_inner(desk.store.get(PolicyId("r", "g", "p", "1.0")), "")

    with zipfile.ZipFile(io.BytesIO(inner)) as archive:
        assert archive.namelist() == ["metadata.json", "policy.rego", "export-config.json"]


def test_fetched_data_travels_with_the_policy(desk: Desk) -> None:
    """The data it answers with, not what its author once wrote."""
    policy = desk.publish("r/g/p/1.0", REGO, **PARTS).id
    desk.publisher.publish_data(policy, '{"fetched": true}', author="refresh")

    inner = write_inner(desk.store.get(policy), "")

    with zipfile.ZipFile(io.BytesIO(inner)) as archive:
        assert archive.read("data.json") == b'{"fetched": true}'


def test_every_part_comes_back() -> None:
    """Word for word."""
    source = source_of(open_bundle(bundle(**PARTS)), origin="import:peer")

    assert str(source.id) == "shared/g/p/1.0"
    assert (source.rego, source.origin) == (REGO, "import:peer")
    assert {name: getattr(source, name) for name in PARTS} == PARTS


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", NotABundle),
        (b"PK\x05\x06", NotABundle),
        (bundle()[:200], NotABundle),
        (write_zip([]), InvalidBundle),
        (write_zip([("policy_bundle.zip", b"")]), InvalidBundle),
        (write_zip([(name, b"") for name in ("policy_bundle.zip", "signature.raw", "more")]), InvalidBundle),
        (write_zip([("signature.raw", b""), ("policy_bundle.zip", b"")]), BundleUnverified),
        (write_zip([("policy_bundle.zip", b"no zip"), ("signature.raw", b"s")]), BundleUnverified),
        (write_zip([("policy_bundle.zip", write_zip([])), ("signature.raw", b"s")]), BundleUnverified),
        (signed([("policy.rego", b""), ("metadata.json", metadata())]), BundleUnverified),
        (signed([("metadata.json", b"{"), ("policy.rego", b"")]), BundleUnverified),
        (signed([("metadata.json", b"\xff"), ("policy.rego", b"")]), BundleUnverified),
        (signed([("metadata.json", b"[]"), ("policy.rego", b"")]), BundleUnverified),
        (signed([("metadata.json", b'{"policy": {"name": 1}}'), ("policy.rego", b"")]), BundleUnverified),
        (signed([("metadata.json", b" " * (65 << 10)), ("policy.rego", b"")]), BundleUnverified),
        (write_zip([("policy_bundle.zip", write_zip([])), ("signature.raw", b"s" * 4097)]), InvalidBundle),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",  # keys, and so bytes, differ in each process
)
def test_what_cannot_be_verified_is_refused_as_the_original_does(content: bytes, error: type[Exception]) -> None:
    """Not a ZIP, not two entries, other entries, nothing that says who signed."""
    with pytest.raises(error) as caught:
        open_bundle(content)

    assert type(caught.value) is error


@pytest.mark.parametrize(
    "files",
    [
        [],
        [("policy.rego", b" \n")],
        [("policy.rego", b"\xff")],
        [("data.json", b"{}"), ("policy.rego", REGO.encode())],
        [("policy.rego", REGO.encode()), ("output-schema.json", b"{}"), ("data.json", b"{}")],
        [("policy.rego", REGO.encode()), ("more.txt", b"x")],
        [("policy.rego", b"#" * ((4 << 20) + 1))],
    ],
)
def test_what_holds_no_policy_is_broken(files: list[tuple[str, bytes]]) -> None:
    """However good its signature is."""
    with pytest.raises(BrokenBundle):
        source_of(open_bundle(signed([("metadata.json", metadata()), *files])), origin="")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", " a", "a\n", "x" * 201])
def test_names_that_no_address_could_have_are_refused(name: str) -> None:
    """They would name a policy nobody can ask for, or another one."""
    about = json.loads(metadata())
    about["policy"]["name"] = name

    with pytest.raises(BrokenBundle, match="part of an address"):
        source_of(
            open_bundle(signed([("metadata.json", json.dumps(about).encode()), ("policy.rego", b"x")])), origin=""
        )


def test_an_inner_bundle_deeper_down_is_refused() -> None:
    """A bundle in a bundle in a bundle."""
    inner = write_zip([("metadata.json", metadata()), ("policy.rego", REGO.encode()), ("policy_bundle.zip", bundle())])
    nested = write_zip([("policy_bundle.zip", inner), ("signature.raw", sign(private("P-256"), digest_of(inner)))])

    with pytest.raises(BrokenBundle, match=r"policy_bundle\.zip"):
        source_of(open_bundle(nested), origin="")


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "2024-01-02T03:04:05Z"),
        (datetime(2024, 1, 2, 3, 4, 5, 120000, tzinfo=UTC), "2024-01-02T03:04:05.12Z"),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2024-01-02T01:04:05Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_times_are_written_as_go_does(at: datetime, text: str) -> None:
    """RFC 3339 in UTC."""
    assert go_time(at) == text
