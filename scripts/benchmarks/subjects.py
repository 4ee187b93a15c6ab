"""The requests that servers are asked: how each is put to us and to ``opa run``, over the same policy."""

import json
from dataclasses import dataclass, field

from benchmarks.cases import Case, trivial
from benchmarks.process import Ask


@dataclass(frozen=True, slots=True)
class Subject:
    """One kind of request, the policy that answers it, and the right answers."""

    name: str
    case: Case
    group: str
    policy: str
    path: str
    ours_expected: bytes
    method: str = "GET"
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes | None:
        """What is posted to our server."""
        return json.dumps(self.case.question).encode() if self.method == "POST" else None

    def ours(self, port: int) -> Ask:
        """Return the request to our server."""
        return Ask(port, self.path, self.method, self.body, expected=self.ours_expected)

    def opa(self, port: int) -> Ask:
        """Return the same question to OPA's server."""
        body = json.dumps({"input": self.case.question}).encode()
        answer = json.dumps(self.case.expected, separators=(",", ":"), sort_keys=True).encode()
        return Ask(port, f"/v1/data/{self.case.entrypoint}", "POST", body, expected=b'"result":' + answer)


def evaluation() -> Subject:
    """The trivial policy through our policy-service route."""
    path = "/policy/bench/bench/trivial/1.0/evaluation"
    return Subject("POST evaluation", trivial(), "bench", "trivial", path, b'"allow":true', method="POST")
