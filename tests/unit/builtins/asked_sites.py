"""Functions with a network, asked as a module asks them, and servers for them to ask."""

import json
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from werkzeug import Response

from policy_server.builtins.call import Call
from policy_server.builtins.network import Network, network_functions
from policy_server.builtins.registry import Registry
from policy_server.toolkit.toolkit import Toolkit

LOOPBACK = Network(hosts=("127.0.0.1", "localhost"), networks=("127.0.0.1/32",), max_bytes=100_000)

Ask = Callable[..., Any]


def new_call(*, seconds: float = 20.0, strict: bool = False, now: float = 1_700_000_000.0) -> Call:
    """Return an evaluation with so much time, at a time of its own."""
    return Call({}, int(now * 1e9), time.monotonic() + seconds, strict=strict)


class Asked:
    """The functions of one installation, asked as a module asks them."""

    def __init__(self, network: Network, toolkit: Toolkit | None = None) -> None:
        made = network_functions(network, toolkit, reason="")
        self._functions = Registry.discover(made=made).functions({0: "http.send", 1: "net.lookup_ip_addr"})

    def text(self, request: str, call: Call | None = None) -> Any:
        """Send a request given as Rego text; return the answer, None for undefined."""
        found = self._functions[0](call or new_call(), [request.encode()])
        return None if found is None else json.loads(found)

    def __call__(self, url: str, *, call: Call | None = None, **keys: object) -> Any:
        """Send a GET request, or what the keys say."""
        return self.text(json.dumps({"method": "GET", "url": url, **keys}), call)

    def lookup(self, name: str, call: Call | None = None) -> bytes | None:
        """Look a name up; return the value text."""
        return self._functions[1](call or new_call(), [json.dumps(name).encode()])


@dataclass(frozen=True)
class Got:
    """A request as it arrived."""

    method: str
    path: str
    headers: Message
    body: bytes


class Site:
    """A server on loopback that answers what it is told, and adds no header of its own."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Got] = []
        self.answer: Callable[[Got, int], Response] = lambda _request, _count: Response("ok")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        scheme = "http"
        if tls is not None:
            scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                self.close_connection = True
                if not self.raw_requestline or not self.parse_request():
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                request = Got(self.command, self.path, self.headers, body)
                site.seen.append(request)
                reply = site.answer(request, len(site.seen) - 1)
                self.send_response_only(reply.status_code)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else reply.get_data())

            def handle(self) -> None:
                with suppress(OSError):
                    self.handle_one_request()

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        return Handler
