"""Measuring processes: they answer, and they end whatever happens."""

import os
import sys
from pathlib import Path

import pytest
from benchmarks.process import Ask, Worker, free_port, running, wait_for
from benchmarks.rounds import Unmeasured

ECHO = "import json,sys\nfor line in sys.stdin: print(json.dumps({'pid': __import__('os').getpid()}), flush=True)"
STUCK = "import time\ntime.sleep(60)"


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] == "Z"
    except OSError:
        return True


def test_a_worker_answers_and_is_gone_after_close() -> None:
    """No benchmark leaves a process behind."""
    worker = Worker([sys.executable, "-c", ECHO], os.environ, 20)

    answer = worker.ask({"count": 1})
    worker.close()

    assert _gone(int(answer["pid"]))


def test_a_worker_that_takes_too_long_is_ended() -> None:
    """A peer that hangs costs its limit and no more."""
    worker = Worker([sys.executable, "-c", STUCK], os.environ, 0.2)

    with pytest.raises(Unmeasured, match="more than 0 s"):
        worker.ask({"count": 1})

    worker.close()


def test_a_worker_that_cannot_work_says_why() -> None:
    """The reason stands in the report."""
    worker = Worker([sys.executable, "-c", 'print(\'{"error": "no wasm"}\')\ninput()'], os.environ, 20)

    with pytest.raises(Unmeasured, match="no wasm"):
        worker.ask({"count": 1})

    worker.close()


def test_a_server_that_ends_is_not_waited_for() -> None:
    """Its last words tell the reader what is wrong."""
    command = [sys.executable, "-c", "print('the port is in use')"]

    with running(command) as process, pytest.raises(Unmeasured, match="the server ended: the port is in use"):
        wait_for(Ask(free_port(), "/"), process, seconds=60)


def test_a_running_program_is_ended_with_its_children_when_the_block_fails() -> None:
    """An error in a benchmark does not leave a server behind."""
    command = [sys.executable, "-c", STUCK]
    pids = []

    def fail() -> None:
        with running(command) as process:
            pids.append(process.pid)
            raise Unmeasured("stop here")

    with pytest.raises(Unmeasured, match="stop here"):
        fail()

    assert _gone(pids[0])
