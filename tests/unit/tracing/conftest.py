"""Who keeps the spans of a test."""

from collections.abc import Iterator

import pytest
from span_recorder import Recorder, recording


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Record spans in memory."""
    with recording(monkeypatch) as found:
        yield found
