"""A gate that lets many in, or one alone."""

import threading

from policy_server.storage.forks import Gate


def test_many_may_be_inside_at_once() -> None:
    """An open gate holds nobody up."""
    gate = Gate()
    inside = threading.Barrier(3, timeout=30)

    def enter() -> None:
        with gate:
            inside.wait()

    threads = [threading.Thread(target=enter) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not inside.broken


def test_shutting_waits_until_everybody_left() -> None:
    """Who is inside may finish; only then is the caller alone."""
    gate = Gate()
    entered, leave, left = threading.Event(), threading.Event(), threading.Event()

    def visit() -> None:
        with gate:
            entered.set()
            leave.wait(30)
            left.set()

    thread = threading.Thread(target=visit)
    thread.start()
    entered.wait(30)
    assert not gate.shut(patience=0)
    gate.open()

    leave.set()

    assert gate.shut(patience=30)
    assert left.is_set()
    thread.join()


def test_newcomers_wait_until_the_gate_opens() -> None:
    """Nobody slips in while it is shut, and nobody waits for ever."""
    gate = Gate()
    entered = threading.Event()

    def visit() -> None:
        with gate:
            entered.set()

    assert gate.shut(patience=0)
    thread = threading.Thread(target=visit)
    thread.start()
    assert not entered.wait(0.05)

    gate.open()

    assert entered.wait(30)
    thread.join()


def test_an_error_inside_counts_as_leaving() -> None:
    """A failed operation does not keep the gate occupied."""
    gate = Gate()

    def fail() -> None:
        with gate:
            raise KeyError

    try:
        fail()
    except KeyError:
        assert gate.shut(patience=0)
