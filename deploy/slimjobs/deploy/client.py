"""A client of a running service, for the command line: plain HTTP of the standard library, errors told to a person."""

from __future__ import annotations

import http
import http.client
import json
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final

import msgspec

from slimjobs.deploy.exits import Ended, Exit

DEFAULT_URL: Final = "http://127.0.0.1:5000"
TIMEOUT_SECONDS: Final = 30.0
INDEX: Final = "X-SlimFaas-Index"
_BLOCK_BYTES: Final = 64 * 1024


class Response(msgspec.Struct, frozen=True):
    """An answer of the service that is no refusal. `body` is parsed JSON: only the caller knows its shape."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Unreachable(Ended):
    """Nobody answers at any of the addresses."""

    def __init__(self, silences: Sequence[_Silence]) -> None:
        where = ", nor at ".join(f"{each.url} ({each.cause})" for each in silences)
        super().__init__(Exit.NO, f"no service answers at {where}; start one with 'slimjobs serve', or give --url")


class Lost(Ended):
    """A node took the request, and went before it had answered. `perhaps_done`: it was one that changes something."""

    def __init__(self, url: str, cause: Exception, perhaps_done: bool) -> None:
        known = "; whether it did what it was asked is not known" if perhaps_done else ""
        super().__init__(Exit.NO, f"{url} went before it had answered ({cause}){known}")


class Refused(Ended):
    """The service refused; its problem says why (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        lines = [f"{status} {problem.get('title', '')}: {problem.get('detail', '')}".strip()]
        lines += (f"  {each.get('pointer') or '/'}: {each.get('detail')}" for each in problem.get("errors", ()))
        super().__init__(Exit.USAGE if status == 400 else Exit.NO, *lines)
        self.status = status


class Foreign(Ended):
    """Something answers at the address, but not as this service does."""

    def __init__(self, url: str, status: int) -> None:
        super().__init__(Exit.NO, f"what answers at {url} is not slimjobs (it said {status}); give another --url")


class _Silence(Exception):
    """An address that gave no answer. `arrived`: what was asked may be known there all the same."""

    def __init__(self, url: str, cause: Exception, arrived: bool) -> None:
        super().__init__(url, cause)
        self.url = url
        self.cause = cause
        self.arrived = arrived


class _Node(msgspec.Struct, frozen=True):
    """Where a node is."""

    url: str
    secure: bool
    host: str
    port: int | None
    path: str


class _Request(msgspec.Struct, frozen=True):
    """What is asked of a node, and for how many seconds it may say nothing."""

    method: str
    path: str
    content: bytes | None
    headers: Mapping[str, str]
    timeout: float | None

    @property
    def changes(self) -> bool:
        return self.method != "GET"

    @property
    def repeatable(self) -> bool:
        """Whether it does no harm, nor says anything else, if it is done twice."""
        return not self.changes or "Idempotency-Key" in self.headers


class _Answer(msgspec.Struct, frozen=True):
    """The head of what a node answers; the rest comes on the connection."""

    node: _Node
    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse


class Client:
    """The service at a URL, or at those of several nodes, separated by commas.

    The next node is asked where one cannot be reached, or says that nothing was done (503, contract §2), or went
    before it had answered what may be repeated. One that has answered is asked first from then on.
    """

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self._nodes = [_node(each.strip()) for each in url.split(",")]
        self.url = url.rstrip("/")

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """One request, one answer; bytes are sent as they are. Raises `Refused`, `Unreachable`, `Lost`, `Foreign`."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        with self._sent(_Request(method, path, content, headers or {}, TIMEOUT_SECONDS)) as answer:
            read = answer.response.read()
            if answer.response.status == http.HTTPStatus.NO_CONTENT and INDEX in answer.response.headers:
                return Response(answer.response.status, dict(answer.response.getheaders()), None)
            if answer.response.headers.get_content_type() != "application/json":
                raise Foreign(answer.node.url, answer.response.status)
            return Response(answer.response.status, dict(answer.response.getheaders()), json.loads(read))

    def stream(self, path: str) -> Iterator[bytes]:
        """The output behind a path, as it comes. Raises `Refused`, `Unreachable`, `Lost`, `Foreign`."""
        with self._sent(_Request("GET", path, None, {}, None)) as answer:
            if INDEX not in answer.response.headers:
                raise Foreign(answer.node.url, answer.response.status)
            while block := answer.response.read1(_BLOCK_BYTES):
                yield block

    @contextmanager
    def _sent(self, request: _Request) -> Iterator[_Answer]:
        answer = self._first_answer(request)
        with closing(answer.connection):
            try:
                yield answer
            except (OSError, http.client.HTTPException) as error:
                raise Lost(answer.node.url, error, request.changes) from error

    def _first_answer(self, request: _Request) -> _Answer:
        """The answer of the first node that has one."""
        nothing_done: Refused | None = None
        silences: list[_Silence] = []
        for node in tuple(self._nodes):
            try:
                answer = _ask(node, request)
            except Refused as refused:
                if refused.status != http.HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
                nothing_done = refused
            except _Silence as silence:
                if silence.arrived and not request.repeatable:
                    raise Lost(node.url, silence.cause, request.changes) from silence
                silences.append(silence)
            else:
                self._nodes.sort(key=lambda each: each is not node)
                return answer
        raise nothing_done or Unreachable(silences)


def _ask(node: _Node, request: _Request) -> _Answer:
    """What one node answers. Raises `Refused`, `Foreign`, `_Silence`."""
    kind = http.client.HTTPSConnection if node.secure else http.client.HTTPConnection
    arrived = False
    with ExitStack() as stack:
        connection = stack.enter_context(closing(kind(node.host, node.port, timeout=request.timeout)))
        try:
            connection.connect()
            arrived = True
            connection.request(request.method, node.path + request.path, request.content, dict(request.headers))
            response = connection.getresponse()
            if response.status >= 400:
                raise _refusal(node, response)
        except (OSError, http.client.HTTPException) as error:
            raise _Silence(node.url, error, arrived) from error
        stack.pop_all()
        return _Answer(node, connection, response)


def _refusal(node: _Node, response: http.client.HTTPResponse) -> Refused | Foreign:
    if response.headers.get_content_type() != "application/problem+json":
        return Foreign(node.url, response.status)
    return Refused(response.status, json.loads(response.read()))


def _node(url: str) -> _Node:
    """The node at a URL. Raises `Ended`."""
    try:
        split = urllib.parse.urlsplit(url)
        if split.scheme in ("http", "https") and split.hostname:
            path = split.path.rstrip("/")
            return _Node(url.rstrip("/"), split.scheme == "https", split.hostname, split.port, path)
    except ValueError:
        pass
    raise Ended(Exit.USAGE, f"--url takes http://HOST:PORT, not '{url}'")


def quoted(part: str) -> str:
    """A part of a path, safe whatever is in it."""
    return urllib.parse.quote(part, safe="")
