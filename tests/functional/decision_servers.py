"""Servers as the settings make them, whose decisions are recorded."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from functional_server import ROOT, RememberingCompiler
from wsgi_client import Client

from policy_server.assembly import Assembly, assemble
from policy_server.model.policy import CompiledPolicy, PolicyId, PolicySource
from policy_server.settings import load_settings

PLAIN = PolicyId("r", "g", "plain", "1.0")
ECHO = PolicyId("r", "g", "echo", "1.0")
SERVICE = PolicyId("r", "pexip", "service", "1.0")
SOURCES = (
    PolicySource(
        PLAIN,
        'package g.plain\n\nallow := input.user == "ada"\n',
        output_schema='{"properties": {"allow": {"const": true}}}',
        origin="git:rules@0123abc",
    ),
    PolicySource(ECHO, "package g.echo\n\ndecision := input.decision\n\nseen := input\n"),
    PolicySource(
        SERVICE,
        "package pexip.service\n\n"
        'decision := {"action": "default"} if input.call.local_alias == "leave@example.com"\n\n'
        'decision := {"action": "nonsense"} if input.call.local_alias == "wrong@example.com"\n\n'
        'decision := {"action": "continue", "result": {"name": "Room", "service_type": "conference", '
        '"local_alias": "room", "pin": "47112931", "service_tag": "opened with 47112931"}} '
        'if input.call.local_alias == "room@example.com"\n',
    ),
)


_COMPILED: dict[PolicySource, CompiledPolicy] = {}


@dataclass
class Recorded:
    """A running server, and the file that has its decisions when it was stopped."""

    assembly: Assembly
    client: Client
    file: Path

    def service(self, alias: str, more: str = "") -> int:
        """Ask like Pexip what an alias is; return the status."""
        query = f"request_type=service_configuration&local_alias={quote(alias)}{more}"
        return self.client.get(f"/policy/v1/service/configuration?{query}").status

    def records(self) -> list[dict]:
        """Stop the server and read what it recorded."""
        self.assembly.close()
        return [json.loads(line) for line in self.file.read_text().splitlines()]


@contextmanager
def recording(place: Path, **overrides: object) -> Iterator[Recorded]:
    """Run a server with a store in memory and a few policies."""
    file = place / "decisions.jsonl"
    given = {
        "state_dir": str(place),
        "cache_dir": str(ROOT / ".cache"),
        "storage_url": "memory:",
        "bundled": "off",
        "pexip_service_policy": str(SERVICE),
        "authzen_policy": str(ECHO),
        "decision_log": f"file:{file}",
        **overrides,
    }
    assembly = assemble(load_settings(environ={"HOME": str(place)}, overrides=given))
    assembly.compiler = RememberingCompiler(assembly.compiler, _COMPILED)
    try:
        for source in SOURCES:
            assembly.publisher.publish(source, author="test")
        assembly.open(background=False)
        yield Recorded(assembly, Client(assembly.app()), file)
    finally:
        assembly.close()
