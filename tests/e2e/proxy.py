"""A proxy between nodes and the API server, which it is to them: it has the API server's own certificate and key.

    with api_proxy(plane) as proxy:
        held = proxy.rule(Hold(), "POST", "/jobs")       the next such request is held back ...
        held.met.wait(SECONDS)
        held.let_go()                                     ... and goes on now, though nobody waits for it any more

A rule is for one request, `Refuse` and `Silence` for as many as they say. Everything else passes as it is.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tests.cluster.control_plane import ControlPlane

ANSWER_SECONDS: Final = 120.0
PIECE: Final = 65536
GONE: Final = (OSError, http.client.HTTPException)
_OF_THE_CONNECTION: Final = frozenset({"host", "connection", "transfer-encoding", "content-length", "accept-encoding"})


class Rule:
    """What becomes of a request that it fits. `met`: one has come; `done`: the API server has answered it."""

    def __init__(self, times: int = 1) -> None:
        self.left = times
        self.met = threading.Event()
        self.done = threading.Event()
        self.status = 0
        self._free = threading.Event()

    def let_go(self) -> None:
        """What is held back goes its way."""
        self._free.set()

    def wait(self) -> None:
        """Return once it may go."""
        self._free.wait(ANSWER_SECONDS)


class Hold(Rule):
    """Hold the request back; when it is let go the API server gets it, whoever is still there."""


class HoldAnswer(Rule):
    """The API server gets the request, and whoever asked no answer before it is let go."""


class LoseAnswer(Rule):
    """The API server gets the request; whoever asked sees the connection end."""


class Refuse(Rule):
    """The API server gets nothing; the answer is this status."""

    def __init__(self, answer: int, times: int) -> None:
        super().__init__(times)
        self.answer = answer


class Silence(Rule):
    """Watches say nothing any more, those that go on and those that begin, until it is let go: they are broken off."""

    def __init__(self) -> None:
        super().__init__(times=1 << 30)


class Proxy:
    """Where the nodes believe the API server to be."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._lock = threading.Lock()
        self._rules: list[tuple[Rule, str, re.Pattern[str], str]] = []
        self._upstream: set[http.client.HTTPSConnection] = set()
        self.silence: Silence | None = None
        self._server = _Server(self, plane)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def rule(self, rule: Rule, method: str, path: str, body: str = "") -> Any:
        """Apply it to the next requests of this method, whose path fits the expression and whose body has this."""
        with self._lock:
            self._rules.append((rule, method, re.compile(path), body))
        return rule

    def fall_silent(self) -> Silence:
        """Nothing comes from watches any more."""
        self.silence = Silence()
        return self.silence

    def speak(self) -> None:
        """Watches that begin from now on speak."""
        self.silence = None

    def take(self, method: str, path: str, body: bytes) -> Rule | None:
        """The rule for this request."""
        with self._lock:
            for rule, its_method, its_path, its_body in self._rules:
                if rule.left and method == its_method and its_path.search(path) and its_body.encode() in body:
                    rule.left -= 1
                    return rule
        return None

    @contextmanager
    def upstream(self) -> Iterator[http.client.HTTPSConnection]:
        """A connection to the API server."""
        trust = ssl.create_default_context(cafile=self._plane.place.certificate)
        port = self._plane.place.api_port
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=ANSWER_SECONDS, context=trust)
        self._upstream.add(connection)
        try:
            yield connection
        finally:
            self._upstream.discard(connection)
            connection.close()

    def run(self) -> None:
        """Serve until it is closed."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """End everything that goes through it."""
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            for rule, *_ in self._rules:
                rule.let_go()
        for connection in list(self._upstream):
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, proxy: Proxy, plane: ControlPlane) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy
        self._identity = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = plane.place.certificate
        self._identity.load_cert_chain(certificate, certificate.with_suffix(".key"))

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In its thread: a handshake that lasts holds up nobody else."""
        with suppress(*GONE), self._identity.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever goes in the middle of an answer is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is written."""

    def _pass(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        rule = proxy.take(self.command, self.path, body)
        if rule is not None:
            rule.met.set()
        if isinstance(rule, Refuse):
            self._answer(rule.answer, json.dumps(_status(rule.answer)).encode())
            return
        if isinstance(rule, Hold):
            rule.wait()
        try:
            with proxy.upstream() as connection:
                connection.request(self.command, self.path, body or None, self._own_headers())
                self._relay(rule, connection.getresponse())
        except GONE:
            self.close_connection = True
        finally:
            if rule is not None:
                rule.done.set()

    do_GET = do_POST = do_PATCH = do_DELETE = _pass

    def _own_headers(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_CONNECTION}

    def _relay(self, rule: Rule | None, response: http.client.HTTPResponse) -> None:
        if response.chunked and "watch=" in self.path:
            self._stream(response)
            return
        content = response.read()
        if rule is not None:
            rule.status = response.status
            rule.done.set()
        if isinstance(rule, HoldAnswer):
            rule.wait()
        if isinstance(rule, LoseAnswer):
            self.close_connection = True
            return
        self._answer(response.status, content, response.getheader("Content-Type", "application/json"))

    def _answer(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status == http.client.TOO_MANY_REQUESTS:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, response: http.client.HTTPResponse) -> None:
        self.send_response(response.status)
        self.send_header("Content-Type", response.getheader("Content-Type", "application/json"))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            piece = response.read1(PIECE)
            if (silence := self.server.proxy.silence) is not None:
                silence.met.set()
                silence.wait()
                raise ConnectionError("what was silent is never heard again")
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if not piece:
                return


def _status(code: int) -> dict[str, object]:
    reason = {429: "TooManyRequests", 403: "Forbidden"}.get(code, "InternalError")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": reason,
    }


@contextmanager
def api_proxy(plane: ControlPlane) -> Iterator[Proxy]:
    """A proxy to this control plane; nothing goes through it after the block."""
    proxy = Proxy(plane)
    thread = threading.Thread(target=proxy.run, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(ANSWER_SECONDS)
