"""An HTTPS server in the API server's place: it answers as a test says, each time, and remembers what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.eventlog.transport.certificates import KEY, openssl


class Said(NamedTuple):
    """An answer; `body` as it is, or what is to be JSON. None says nothing at all."""

    status: int
    body: bytes | Mapping[str, object] | None


def stateful_set(replicas: int = 3, **spec: object) -> Said:
    return Said(
        200, {"kind": "StatefulSet", "spec": {"serviceName": "nodes", "replicas": replicas, "template": {}} | spec}
    )


def refused(status: int, reason: str, message: str, **details: str) -> Said:
    return Said(status, {"kind": "Status", "reason": reason, "message": message, "details": details})


def no_such(name: str = "slimjobs") -> Said:
    return refused(404, "NotFound", f'statefulsets.apps "{name}" not found', name=name)


FORBIDDEN: Final = refused(403, "Forbidden", "cannot get resource statefulsets", name="slimjobs")
SILENCE: Final = Said(0, None)


class Asked(NamedTuple):
    path: str
    authorization: str


class Certificate(NamedTuple):
    """One that signed itself, for `localhost`, with all that Python 3.13 wants of an authority's."""

    file: Path
    key: Path

    @classmethod
    def made(cls, directory: Path) -> Certificate:
        made = cls(directory / "localhost.pem", directory / "localhost.key")
        use = ("-addext", "subjectAltName=DNS:localhost", "-addext", "keyUsage=critical,digitalSignature,keyCertSign")
        openssl("req", "-x509", *KEY, "-keyout", made.key, "-out", made.file, "-subj", "/CN=localhost", *use)
        return made


class ApiServer:
    """The server; its last answer is given again and again."""

    def __init__(self, certificate: Certificate, directory: Path) -> None:
        self.service_account = directory
        self.answers = [stateful_set()]
        self.asked: list[Asked] = []
        self.ended = threading.Event()
        (directory / "ca.crt").write_bytes(certificate.file.read_bytes())
        (directory / "token").write_text("a-token\n")
        (directory / "namespace").write_text("demo\n")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a pod here."""
        return {
            "KUBERNETES_SERVICE_HOST": "localhost",
            "KUBERNETES_SERVICE_PORT": str(self._server.server_address[1]),
        }

    def says(self, *answers: Said) -> None:
        self.answers = [*answers]

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            self.ended.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = server.answer(Asked(self.path, self.headers["Authorization"]))
                if body is None:
                    server.ended.wait()
                    return
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        return Handler


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """One that runs as long as the test, and knows one StatefulSet of three pods."""
    monkeypatch.setenv("no_proxy", "localhost")
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    server = ApiServer(Certificate.made(tmp_path), directory)
    with server.running():
        yield server
