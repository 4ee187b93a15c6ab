"""What following does with servers that no test server is like."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from database_servers import replica_url

from policy_server.storage.mongo_server import MongoServer
from policy_server.storage.mongo_stream import Stream


class Hasty:
    """A stream whose server answers at once that there was nothing, instead of waiting for something."""

    def __init__(self) -> None:
        """Count the questions."""
        self.alive = True
        self.asked = 0

    def try_next(self) -> None:
        """Answer."""
        self.asked += 1

    def close(self) -> None:
        """Do nothing."""


def test_a_server_that_does_not_wait_is_asked_ten_times_a_second() -> None:
    """Not as fast as it answers."""
    hasty, stop = Hasty(), threading.Event()
    server: Any = SimpleNamespace(
        has_streams=lambda: True, collection=lambda _: SimpleNamespace(watch=lambda *_, **__: hasty)
    )

    threading.Timer(0.55, stop.set).start()
    Stream(server, "state").follow(lambda: None, stop)

    assert 2 <= hasty.asked <= 7


def test_a_direct_connection_to_a_member_has_change_streams() -> None:
    """What a replica set of one is often reached by."""
    server = MongoServer(f"{replica_url()}?directConnection=true")

    assert server.has_streams()

    server.close()


def test_settings_that_cannot_work_do_not_raise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is the store's to tell; the reason is logged once."""
    caplog.set_level("INFO")
    (tmp_path / "ca.pem").write_text("no certificate")
    server = MongoServer(f"mongodb://127.0.0.1/policies?tls=true&tlsCAFile={tmp_path}/ca.pem")
    stop = threading.Event()
    threading.Timer(2.5, stop.set).start()

    began = time.monotonic()
    Stream(server, "state").follow(pytest.fail, stop)

    assert time.monotonic() - began < 3.5
    assert [record.message for record in caplog.records] == ["the change stream broke: StoreUnavailable"]
