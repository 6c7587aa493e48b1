"""A server in the API server's place, for Jobs and pods: lists, watches and answers are as a test says.

It remembers what it was asked. A list may be held back; what a watch says is handed to it line by line.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import trio

from slimjobs.core.orchestrators.kubernetes.access import find_access
from slimjobs.core.orchestrators.kubernetes.api import open_api
from slimjobs.core.orchestrators.kubernetes.jobs import KubernetesJobs, open_jobs

JOBS: Final = "/apis/batch/v1/namespaces/demo/jobs"
PODS: Final = "/api/v1/namespaces/demo/pods"
SECONDS: Final = 20.0


class Asked(NamedTuple):
    method: str
    path: str
    query: Mapping[str, str]
    content_type: str
    body: Any


class Said(NamedTuple):
    """An answer; a body that is bytes is sent as it is."""

    status: int
    body: Any


def listing(*items: object) -> Said:
    return Said(200, {"metadata": {"resourceVersion": "1"}, "items": items})


def refused(status: int, reason: str, message: str, name: str = "") -> Said:
    return Said(status, {"kind": "Status", "reason": reason, "message": message, "details": {"name": name}})


class SmallApi:
    """The server. Whatever it was not told about is an empty list, or not there."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Said] = {("GET", JOBS): listing(), ("GET", PODS): listing()}
        self.asked: list[Asked] = []
        self.free = threading.Event()
        self.free.set()
        self._watches: dict[str, queue.SimpleQueue[bytes]] = {}
        self._watched = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def lists(self, path: str) -> int:
        """How often this was listed."""
        return sum(asked.path == path and "watch" not in asked.query for asked in self.asked)

    async def tell(self, path: str, kind: str, item: Mapping[str, object]) -> None:
        """Have the watch of this path, as soon as there is one, say this."""
        line = json.dumps({"type": kind, "object": item}).encode() + b"\n"
        (await trio.to_thread.run_sync(self._watch, path)).put(line)

    async def forget(self, path: str, why: str) -> None:
        """Have the watch of this path say that what it goes on from is too old."""
        await self.tell(path, "ERROR", {"kind": "Status", "code": 410, "message": why})

    @contextmanager
    def running(self) -> Iterator[str]:
        """Its address, while it runs."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{self._server.server_address[1]}"
        finally:
            self.free.set()
            for watch in self._watches.values():
                watch.put(b"")
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def _watch(self, path: str) -> queue.SimpleQueue[bytes]:
        with self._watched:
            assert self._watched.wait_for(lambda: path in self._watches, SECONDS), f"nobody watches {path}"
            return self._watches[path]

    def _begin_watch(self, path: str) -> queue.SimpleQueue[bytes]:
        watch: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        with self._watched:
            if path in self._watches:
                self._watches[path].put(b"")
            self._watches[path] = watch
            self._watched.notify_all()
        return watch

    def _end_watch(self, path: str, watch: queue.SimpleQueue[bytes]) -> None:
        with self._watched:
            if self._watches.get(path) is watch:
                del self._watches[path]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                where = urlsplit(self.path)
                content = self.rfile.read(int(self.headers["Content-Length"] or 0))
                body = json.loads(content) if content else None
                kind = self.headers["Content-Type"] or ""
                asked = Asked(str(self.command), where.path, dict(parse_qsl(where.query)), kind, body)
                server.asked.append(asked)
                if "watch" in asked.query:
                    self.watch(asked.path)
                    return
                server.free.wait(SECONDS)
                said = server.answers.get((asked.method, asked.path), refused(404, "NotFound", "not found"))
                text = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
                self.send_response(said.status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do_DELETE = answer

            def watch(self, path: str) -> None:
                self.send_response(200)
                self.end_headers()
                lines = server._begin_watch(path)
                try:
                    while line := lines.get():
                        self.wfile.write(line)
                finally:
                    server._end_watch(path, lines)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        return Handler


@asynccontextmanager
async def jobs_of(api: SmallApi, directory: Path) -> AsyncIterator[KubernetesJobs]:
    """The orchestrator on this server, in the namespace `demo`."""
    with api.running() as address:
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [{"name": "test", "cluster": {"server": address}}],
                    "users": [{"name": "test", "user": {"token": "a-token"}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                }
            )
        )
        access = find_access({"KUBECONFIG": str(kubeconfig)}, directory)
        async with open_api(access) as opened, open_jobs(opened, "demo") as jobs:
            yield jobs
