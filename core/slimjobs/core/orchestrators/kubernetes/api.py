"""The API server, asked: calls on a few threads, over connections that are kept, at a bounded rate; and streams.

A status is an answer, whatever it is: what it means is for who asked. `NoAnswer` is raised where there is none.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import trio

from slimjobs.core.orchestrators.kubernetes.access import Access, in_words
from slimjobs.core.orchestrators.kubernetes.lean import lean_client
from slimjobs.core.orchestrators.kubernetes.line import Line, NoAnswer, Request
from slimjobs.core.orchestrators.kubernetes.rates import Rate

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = ["Answer", "Api", "NoAnswer", "Refused", "open_api", "refusal"]

CALLS_AT_ONCE: Final = 8
STREAMS_AT_ONCE: Final = 100
# A run takes three calls, and a control plane on two processors completes 45 runs a second; at 50 calls a second it
# completed 19.
CALLS_PER_SECOND, CALLS_AFTER_A_PAUSE = 200.0, 400
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0

MAX_BYTES: Final = 32 << 20
"""Of an answer: a page of 500 objects of some KiB each is a tenth of it (etcd takes no object of more than 1.5 MiB)."""

PIECE_BYTES: Final = 64 * 1024

HEAD_SECONDS: Final = 10.0
"""How long a stream may take to begin, however long it may be silent later."""

_OK, _TOO_MANY, _SERVER_ERROR = 200, 429, 500
_SUBRESOURCES: Final = frozenset({"log", "scale", "status"})


class Answer(NamedTuple):
    """A status and a body; `retry_after` is when to ask again, in seconds, if it was said."""

    status: int
    body: bytes
    retry_after: float | None = None


class Refused(Exception):
    """The API server refuses: the `Status` that it answered with."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message or reason or f"the API server answered with status {status}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class _Status(msgspec.Struct):
    reason: str = ""
    message: str = ""


def refusal(answer: Answer) -> Refused:
    """The refusal that an answer is, whatever its body is."""
    try:
        said = msgspec.json.decode(answer.body, type=_Status)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = _Status()
    return Refused(answer.status, said.reason, said.message, answer.retry_after)


class Api:
    """The API server as one of its clients. Made by `open_api`."""

    def __init__(self, line: Line, rate: Rate) -> None:
        self._line = line
        self._rate = rate
        self._calls = trio.CapacityLimiter(CALLS_AT_ONCE)
        self._streams = trio.CapacityLimiter(STREAMS_AT_ONCE)
        self._counts: Counter[tuple[str, str]] = Counter()

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """How many requests were sent, by verb of RBAC and kind of object."""
        return self._counts

    async def call(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        content_type: str = "application/json",
        timeout_seconds: float = 10.0,
    ) -> Answer:
        """Ask once. Raises `NoAnswer`: whatever was asked may have been done then."""
        content = None if body is None else msgspec.json.encode(body)
        request = Request(method, path, content, content_type, timeout_seconds)
        with trio.move_on_after(timeout_seconds):
            await self._rate.turn()
            self._counts[_verb(method, path), _kind(path)] += 1
            return await trio.to_thread.run_sync(self._ask, request, limiter=self._calls, abandon_on_cancel=True)
        raise NoAnswer(f"no whole answer within {timeout_seconds:g} s")

    async def get(self, path: str, *, timeout_seconds: float = 10.0) -> Answer:
        """Ask for something until there is an answer that says how it is, or the time is over. Raises `NoAnswer`."""
        deadline, pause = trio.current_time() + timeout_seconds, FIRST_PAUSE_SECONDS
        while True:
            left = deadline - trio.current_time()
            try:
                answer: Answer | NoAnswer = await self.call("GET", path, timeout_seconds=left)
            except NoAnswer as away:
                answer = away
            wait = pause * random.uniform(0.5, 1)
            if isinstance(answer, Answer):
                if answer.status != _TOO_MANY and answer.status < _SERVER_ERROR:
                    return answer
                wait = max(wait, answer.retry_after or 0.0)
            if trio.current_time() + wait >= deadline:
                break
            await trio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        if isinstance(answer, NoAnswer):
            raise answer
        return answer

    @asynccontextmanager
    async def stream(self, path: str, *, idle_seconds: float | None) -> AsyncIterator[AsyncIterator[bytes]]:
        """What comes, piece by piece. `idle_seconds`: how long nothing may come; None: for ever.

        Raises `Refused`, and `NoAnswer` also while it is read.
        """
        self._counts[_verb("GET", path), _kind(path)] += 1
        begun = _Beginning(self._line, Request("GET", path, None, "", min(idle_seconds or HEAD_SECONDS, HEAD_SECONDS)))
        try:
            response = await trio.to_thread.run_sync(begun.take, limiter=self._streams, abandon_on_cancel=True)
            _be_patient(response, idle_seconds)
            pieces = self._pieces(response)
            try:
                yield pieces
            finally:
                # Whoever reads in a thread wakes up; closing it before that would wait for that thread, which waits.
                with suppress(*lean_client().failures, RuntimeError, AttributeError):
                    response.shutdown()
                with trio.CancelScope(shield=True):
                    await pieces.aclose()
                    await trio.to_thread.run_sync(response.close)
        finally:
            begun.leave()

    async def _pieces(self, response: BaseHTTPResponse) -> AsyncGenerator[bytes, None]:
        while piece := await trio.to_thread.run_sync(_piece, response, limiter=self._streams, abandon_on_cancel=True):
            yield piece

    # In threads -----------------------------------------------------------------------------------------------------

    def _ask(self, request: Request) -> Answer:
        response = self._line.send(request)
        try:
            body = _read_within(response, request.silence_seconds)
            response.release_conn()
            return Answer(response.status, body, _seconds(response.headers.get("Retry-After")))
        except lean_client().failures as error:
            response.close()
            raise NoAnswer(in_words(error)) from error
        except NoAnswer:
            response.close()
            raise


class _Beginning:
    """A stream that a thread begins. If nobody waits for it any more, it is closed, by whoever sees that last."""

    def __init__(self, line: Line, request: Request) -> None:
        self._line = line
        self._request = request
        self._lock = threading.Lock()
        self._response: BaseHTTPResponse | None = None
        self._is_left = False

    def take(self) -> BaseHTTPResponse:
        """The stream, in a thread. Raises `Refused` and `NoAnswer`."""
        response = self._line.send(self._request)
        if response.status != _OK:
            raise self._refused(response)
        with self._lock:
            self._response = response
            if self._is_left:
                response.close()
        return response

    def leave(self) -> None:
        """Nobody waits or reads any more. What is closed already stays so."""
        with self._lock:
            self._is_left = True
            if self._response is not None:
                self._response.close()

    def _refused(self, response: BaseHTTPResponse) -> Refused:
        try:
            body = _read_within(response, self._request.silence_seconds)
            return refusal(Answer(response.status, body, _seconds(response.headers.get("Retry-After"))))
        except lean_client().failures as error:
            raise NoAnswer(in_words(error)) from error
        finally:
            response.close()


def _read_within(response: BaseHTTPResponse, seconds: float) -> bytes:
    """The whole body. Raises `NoAnswer` for one that is too long, or comes too slowly."""
    deadline, pieces, size = time.monotonic() + seconds, list[bytes](), 0
    while piece := response.read1(PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BYTES:
            raise NoAnswer(f"the answer has more than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise NoAnswer(f"no whole answer within {seconds:g} s")
    return b"".join(pieces)


# urllib3 has one timeout for the head and for each piece of the body. Who closes the connection after an answer, as
# HTTP/1.0 does, has taken it out of our hands here: that stream may be silent for as long as its head could take.
def _be_patient(response: BaseHTTPResponse, silence_seconds: float | None) -> None:
    from urllib3.connection import HTTPConnection

    if isinstance(response.connection, HTTPConnection) and response.connection.sock is not None:
        response.connection.sock.settimeout(silence_seconds)


def _piece(response: BaseHTTPResponse) -> bytes:
    try:
        return response.read1(PIECE_BYTES)
    except lean_client().failures as error:
        raise NoAnswer(in_words(error)) from error


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None


def _verb(method: str, path: str) -> str:
    """The verb that RBAC has for a request (Kubernetes, "Determine the request verb")."""
    place, _, query = path.partition("?")
    if method != "GET":
        return {"POST": "create", "PUT": "update"}.get(method, method.lower())
    if "watch=" in query:
        return "watch"
    return "list" if _is_collection(place) else "get"


def _kind(path: str) -> str:
    """The kind of object that a path is about, as RBAC names it: `jobs`, `pods/log`."""
    parts = path.partition("?")[0].strip("/").split("/")
    if parts[-1] in _SUBRESOURCES:
        return f"{parts[-3]}/{parts[-1]}"
    return parts[-1] if _is_collection(path.partition("?")[0]) else parts[-2]


def _is_collection(place: str) -> bool:
    """Whether a path is that of many objects: those of a namespace are one word after it."""
    parts = place.strip("/").split("/")
    after = parts[parts.index("namespaces") + 2 :] if "namespaces" in parts[:-1] else parts[-1:]
    return len(after) == 1


@asynccontextmanager
async def open_api(
    access: Access, *, per_second: float = CALLS_PER_SECOND, after_a_pause: int = CALLS_AFTER_A_PAUSE
) -> AsyncIterator[Api]:
    """The API server that this access leads to, be it there or not, while the block runs."""
    line = Line(access, CALLS_AT_ONCE + STREAMS_AT_ONCE)
    try:
        yield Api(line, Rate(per_second, after_a_pause))
    finally:
        line.close()
