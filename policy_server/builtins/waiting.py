"""Functions that wait for others, no longer than their evaluation has time."""

from collections.abc import Callable
from typing import TypeVar

from policy_server.builtins.call import Call
from policy_server.model.errors import BuiltinFailed, EvaluationTimeout, InvalidParameter, StoreUnavailable
from policy_server.neighbours.patience import within

T = TypeVar("T")


def asked(call: Call, question: Callable[[float], T]) -> T:
    """Ask somebody who keeps to the seconds he is given.

    Raises:
        BuiltinFailed: as the question does, while there is time left.
        EvaluationTimeout: the evaluation's time is over.
    """
    remaining = call.remaining()
    if remaining <= 0:
        raise EvaluationTimeout
    try:
        return question(remaining)
    except BuiltinFailed as error:
        if call.remaining() <= 0:
            raise EvaluationTimeout(error.message) from error
        raise


def stored(call: Call, work: Callable[[], T]) -> T:
    """Ask a store, which knows no deadline.

    Raises:
        BuiltinFailed: code ``store`` when the store cannot be used, ``argument`` when it cannot keep
            what it is given, such as a NUL character in a key; else as the work does.
        EvaluationTimeout: the evaluation's time is over; a write may still be done.
    """
    try:
        return asked(call, lambda seconds: within(seconds, work))
    except TimeoutError as error:
        raise EvaluationTimeout("the store did not answer in time") from error
    except StoreUnavailable as error:
        raise BuiltinFailed(error.message, code="store") from error
    except InvalidParameter as error:
        raise BuiltinFailed(error.message, code="argument") from error


def an_object(value: object, what: str) -> None:
    """Raise BuiltinFailed, code ``argument``, when a value is no object; the original declares some as text."""
    if not isinstance(value, dict):
        raise BuiltinFailed(f"{what} must be an object", code="argument")
