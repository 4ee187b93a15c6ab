"""Where records go."""

import gzip
import io
import json
import logging.config
import os
import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from decision_samples import NOON, recorder, slip
from event_receivers import Receiver, receiving

from policy_server.decisions.keeping import StoreSink
from policy_server.decisions.local import FileSink, LogSink
from policy_server.decisions.sink import Unwritten
from policy_server.decisions.upload import UploadSink
from policy_server.logs import logging_config
from policy_server.model.errors import InvalidParameter
from policy_server.model.logged import DecisionFilter, LoggedDecision
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard
from policy_server.storage.memory import MemoryStore


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    """Make HTTP receivers."""
    with receiving() as make:
        yield make


def records(*numbers: int) -> list[LoggedDecision]:
    """Make records with these ids."""
    return [recorder().record(slip(number)) for number in numbers]


def ids(path: Path) -> list[str]:
    """Return the ids in a file of JSON lines."""
    return [json.loads(line)["decision_id"] for line in path.read_text().splitlines() if line]


def client() -> GuardedClient:
    """Make the way out, to this machine only."""
    return GuardedClient(NetworkGuard(("127.0.0.1",)), deadline=5.0)


def test_a_file_gets_a_line_for_each_record(tmp_path: Path) -> None:
    """Readable by its owner only; what is there stays."""
    path = tmp_path / "decisions.jsonl"
    for _ in range(2):
        sink = FileSink(path)
        sink.write(records(1, 2))
        sink.close()

    assert ids(path) == ["1", "2", "1", "2"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("how", ["moved", "removed", "replaced"])
def test_a_file_that_is_rotated_away_is_made_again(tmp_path: Path, how: str) -> None:
    """Without a signal; what was written before stays with the old one."""
    path, old = tmp_path / "decisions.jsonl", tmp_path / "decisions.jsonl.1"
    sink = FileSink(path)
    sink.write(records(1))
    if how == "removed":
        path.unlink()
    else:
        path.rename(old)
    if how == "replaced":
        path.touch()

    sink.write(records(2))
    sink.close()

    assert ids(path) == ["2"]
    assert how == "removed" or ids(old) == ["1"]


def test_several_processes_write_whole_lines(tmp_path: Path) -> None:
    """Each batch is one write at the end of the file."""
    path = tmp_path / "decisions.jsonl"
    sinks = [FileSink(path) for _ in range(3)]
    for number in range(10):
        for sink in sinks:
            sink.write(records(number))
    for sink in sinks:
        sink.close()

    assert len(ids(path)) == 30


def test_a_file_that_cannot_be_written_is_a_failure_that_says_why(tmp_path: Path) -> None:
    """To be tried again: somebody may make the directory."""
    sink = FileSink(tmp_path / "none" / "decisions.jsonl")

    with pytest.raises(Unwritten) as caught:
        sink.write(records(1))
    (tmp_path / "none").mkdir()
    sink.write(records(1))
    sink.close()

    assert (caught.value.message, caught.value.final) == ("No such file or directory", False)


def test_a_line_that_was_torn_by_a_full_disk_is_not_joined_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The half line stands alone, and the record comes again."""
    path = tmp_path / "decisions.jsonl"
    sink, write = FileSink(path), os.write

    def half(file: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", fail)
        return write(file, data[:20])

    def fail(_file: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(Unwritten, match="No space left"):
        sink.write(records(1))
    monkeypatch.undo()
    sink.write(records(1))
    sink.close()

    torn, whole = path.read_text().splitlines()
    assert (len(torn), json.loads(whole)["decision_id"]) == (20, "1")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_lines_of_the_log_are_json_whatever_its_format(restored: None, log_format: str) -> None:
    """At any level, named ``decision``, beside the other lines."""
    stream = io.StringIO()
    logging.config.dictConfig(logging_config("error", log_format, stream=stream))

    LogSink().write(records(7))

    [line] = stream.getvalue().splitlines()
    written = json.loads(line)
    assert (written["logger"], written["decision_id"], written["input"]) == ("decision", "7", {"n": 7})


def test_uploads_have_opas_form(receivers: Callable[..., Receiver]) -> None:
    """A gzipped JSON array at ``/logs``, with the token and nothing else that is secret."""
    receiver = receivers(200)
    sink = UploadSink(f"{receiver.url}/", client(), "token-1")

    sink.write(records(1, 2))

    [call] = receiver.calls
    assert call.path == "/hook/logs"
    assert (call.headers["content-type"], call.headers["content-encoding"]) == ("application/json", "gzip")
    assert call.headers["authorization"] == "Bearer token-1"
    assert [each["decision_id"] for each in json.loads(gzip.decompress(call.body))] == ["1", "2"]


def test_an_upload_that_is_too_large_is_sent_in_parts(receivers: Callable[..., Receiver]) -> None:
    """Until the server takes it, or a single record is too large."""
    receiver = receivers(413, 200)
    UploadSink(receiver.url, client()).write(records(1, 2, 3))
    assert [len(json.loads(gzip.decompress(call.body))) for call in receiver.calls] == [3, 1, 2]

    receiver.answer(413)
    with pytest.raises(Unwritten) as caught:
        UploadSink(receiver.url, client()).write(records(1))
    assert caught.value.final


@pytest.mark.parametrize("status", [301, 401, 500, 503])
def test_an_upload_that_is_refused_is_tried_again(receivers: Callable[..., Receiver], status: int) -> None:
    """Somebody may put it right."""
    with pytest.raises(Unwritten, match=str(status)) as caught:
        UploadSink(receivers(status).url, client()).write(records(1))

    assert not caught.value.final


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    """In health, logs and counts."""
    sink = UploadSink("http://user:hunter22@127.0.0.1:1/x", client())

    with pytest.raises(Unwritten) as caught:
        sink.write(records(1))

    assert "hunter22" not in caught.value.message + sink.name
    assert sink.name == "http://**********@127.0.0.1:1/x"


def test_the_store_keeps_the_newest() -> None:
    """By number and by age; looked at once a minute, and never by another thread."""
    store, at = MemoryStore(), [NOON + timedelta(days=400)]
    sink = StoreSink(lambda: store.decisions, lambda: at[0], age=timedelta(days=4000), number=2)

    sink.write(records(1, 2, 3))
    sink.write(records(4))
    kept = [each.decision_id for each in store.decisions.find(DecisionFilter(), limit=9).decisions]
    at[0] += timedelta(minutes=1)
    sink.write(records(5))

    assert kept == ["4", "3", "2"]
    assert [each.decision_id for each in store.decisions.find(DecisionFilter(), limit=9).decisions] == ["5", "4"]
    at[0] += timedelta(days=5000)
    sink.write(records(6))
    assert store.decisions.find(DecisionFilter(), limit=9).decisions == ()


def test_a_record_that_the_store_never_takes_does_not_hold_up_the_others() -> None:
    """The others of its batch are kept."""
    store = MemoryStore()

    class Picky:
        def record(self, batch: list[LoggedDecision]) -> None:
            if any(each.decision_id == "2" for each in batch):
                raise InvalidParameter("no")
            store.decisions.record(batch)

        prune = store.decisions.prune

    StoreSink(Picky, lambda: NOON, age=timedelta(days=1), number=9).write(records(1, 2, 3))  # type: ignore[arg-type]

    found = store.decisions.find(DecisionFilter(), limit=9).decisions
    assert sorted(each.decision_id for each in found) == ["1", "3"]


def test_a_user_and_password_in_the_address_are_shown_to_the_server(receivers: Callable[..., Receiver]) -> None:
    """As HTTP Basic, where no token is set."""
    receiver = receivers(200)
    UploadSink(receiver.url.replace("://", "://ada:hunter22@"), client()).write(records(1))

    [call] = receiver.calls
    assert call.headers["authorization"] == "Basic YWRhOmh1bnRlcjIy"
