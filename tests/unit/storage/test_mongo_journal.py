"""What one commit of MongoDB's journal stands: more than fits a document, and majorities that do not answer."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest
from database_servers import mongodb_url
from pymongo.errors import BulkWriteError

from policy_server.model.policy import PolicyId
from policy_server.storage.mongo_contents import Contents, Pieces
from policy_server.storage.mongo_journal import Journal, Plan, _unless_there
from policy_server.storage.mongo_server import Document, MongoServer

POLICY = PolicyId("r", "g", "n", "1")


@pytest.fixture
def server() -> Iterator[MongoServer]:
    """An empty database."""
    made = MongoServer(mongodb_url())
    yield made
    made.close()


def test_what_thousands_of_policies_let_go_may_be_more_than_fits_a_document(server: MongoServer) -> None:
    """A repository that is emptied lets go of everything that its policies ever were."""
    journal = Journal(server)
    journal.prepare()
    server.policies.create_index("refs")
    server.collection("policy_server_contents").create_index("digest")

    def removal(number: int) -> Plan:
        # As many as 1000 revisions of 64 digits each, which are 17 MB together.
        return Plan({"$set": {"stamp": 1}}, release=[f"text.{number:030}{each:034}" for each in range(1000)])

    steps = [
        (replace(POLICY, name=f"n{number}"), lambda _known, _stamp, number=number: removal(number))
        for number in range(230)
    ]

    journal.change(steps, Contents(Pieces(server)))

    assert journal.settle() == 230


@pytest.mark.parametrize(
    ("wrong", "raises"),
    [
        ({"writeErrors": [{"code": 11000}], "writeConcernErrors": []}, False),
        ({"writeErrors": [{"code": 11000}, {"code": 50}], "writeConcernErrors": []}, True),
        ({"writeErrors": [], "writeConcernErrors": [{"code": 64}]}, True),
        ({"writeErrors": [{"code": 11000}], "writeConcernErrors": [{"code": 64}]}, True),
    ],
)
def test_a_change_is_not_carried_out_before_a_majority_has_it(wrong: Document, *, raises: bool) -> None:
    """What was there already is fine; what a majority did not take in time may be lost, and is done again."""
    expectation = pytest.raises(BulkWriteError) if raises else nullcontext()

    with expectation, _unless_there():
        raise BulkWriteError(wrong)
