"""The README's examples, typed as they stand there."""

import re
import subprocess
from pathlib import Path

import pytest
from acceptance_server import Server

ROOT = Path(__file__).parents[2]


def examples() -> list[tuple[str, str]]:
    """Return the commands that ask the server, each with the answer that the README shows."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```console\n(.*?)```", text, flags=re.S))
    return re.findall(r"\$ (curl (?:.*\\\n)*.*)\n(.*)\n", blocks)


def same(text: str) -> str:
    """Leave out what differs each time."""
    return re.sub(r'"decision_id":"[^"]*"', "", text).strip()


@pytest.mark.parametrize(("command", "answer"), examples(), ids=["pexip", "evaluation"])
def test_the_examples_are_true(server: Server, command: str, answer: str) -> None:
    """The command of the README gives the answer of the README."""
    here = command.replace("http://127.0.0.1:8080", server.url)

    said = subprocess.run(["sh", "-c", here], capture_output=True, text=True, check=True).stdout

    assert same(said) == same(answer)
