"""List and watch: every object of a kind, and every change of it from that moment on, as long as anybody listens.

    Beginning -> (taken) -> a list, in pages -> All -> Put, Gone ... -> the thread is lost -> Beginning

A watch that ends, breaks or is silent goes on from the last version it has told of; only when that is not possible for
a while, or the API server knows that version no more (410), is the thread lost, and all of it is listed anew.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Final, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
import trio

from slimjobs.core.orchestrators.kubernetes.api import Api, NoAnswer, Refused, refusal

PAGE: Final = 500
WATCH_SECONDS: Final = 25
"""The API server ends a watch after so long, so that one that is never ended is known to be dead soon after."""

SHORTEST_WATCH_SECONDS: Final = 1.0
"""One that ends sooner is not begun again at once."""

MAX_LINE_BYTES: Final = 4 << 20
"""Of a change: an object is at most 1.5 MiB in etcd, and JSON writes some characters with six bytes."""

SILENCE_SECONDS: Final = 30.0
RESUMED_FOR_SECONDS: Final = 5.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 10.0

_OK, _GONE = 200, 410
_CHANGES: Final = frozenset({"ADDED", "MODIFIED", "DELETED"})

T = TypeVar("T")
S = TypeVar("S")


class Kind(msgspec.Struct, Generic[T], frozen=True):
    """Objects of a kind: where they are listed, what is read of each, and the label selector of those that count."""

    path: str
    item: type[T]
    selector: str = ""


class Beginning(msgspec.Struct, frozen=True):
    """Nothing is seen from here on: a list is about to begin. `detail` says why the thread was lost; empty at first."""

    detail: str


class All(msgspec.Struct, Generic[T], frozen=True):
    """Every object there is."""

    items: tuple[T, ...]


class Put(msgspec.Struct, Generic[T], frozen=True):
    """An object is there, new or changed."""

    item: T


class Gone(msgspec.Struct, Generic[T], frozen=True):
    """An object is gone; this is the last of it."""

    item: T


class _ListMeta(msgspec.Struct):
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    more: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] = []


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Versioned(msgspec.Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    code: int = 0
    message: str = ""


class _Lost(Exception):
    """The thread is lost, in words for people; `retry_after` is when to ask again, in seconds, if it was said."""

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


_PAGES: Final = msgspec.json.Decoder(_Page)
_EVENTS: Final = msgspec.json.Decoder(_Event)
_VERSIONS: Final = msgspec.json.Decoder(_Versioned)


def list_and_watch(api: Api, kind: Kind[T]) -> AsyncGenerator[Beginning | All[T] | Put[T] | Gone[T], None]:
    """Everything of a kind, for ever. Close it, or cancel whoever iterates, to end it."""
    return list_and_watch_reduced(api, kind, lambda item: item)


async def list_and_watch_reduced(
    api: Api, kind: Kind[T], reduce: Callable[[T], S | None]
) -> AsyncGenerator[Beginning | All[S] | Put[S] | Gone[S], None]:
    """The same, of each object what `reduce` makes of it; None leaves it out.

    A list is reduced page by page: of ten thousand pods, whole ones are 26 MB and what matters of them 5.
    """
    watch, detail, pauses = _Watch(api, kind, reduce), "", _Pauses()
    while True:
        yield Beginning(detail)
        begun, at_least = trio.current_time(), 0.0
        try:
            yield All(await watch.list())
            async with aclosing(watch.changes()) as changes:
                async for change in changes:
                    pauses.reset()
                    yield change
        except (_Lost, NoAnswer, Refused) as lost:
            detail, at_least = str(lost), _seconds_told(lost)
        if trio.current_time() - begun > LONGEST_PAUSE_SECONDS:
            pauses.reset()
        await pauses.take(at_least)


def _seconds_told(lost: _Lost | NoAnswer | Refused) -> float:
    """How long to wait at least: as long as the API server wants, within reason."""
    told = None if isinstance(lost, NoAnswer) else lost.retry_after
    return min(told or 0.0, LONGEST_PAUSE_SECONDS)


class _Pauses:
    """Pauses that become longer, none of them like another."""

    def __init__(self) -> None:
        self._next = 0.0

    def reset(self) -> None:
        self._next = 0.0

    async def take(self, at_least: float) -> None:
        await trio.sleep(max(self._next * random.uniform(0.5, 1), at_least))
        self._next = min(max(2 * self._next, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


class _Watch(Generic[T, S]):
    """One kind, and the version up to which it was told of."""

    def __init__(self, api: Api, kind: Kind[T], reduce: Callable[[T], S | None]) -> None:
        self._api = api
        self._kind = kind
        self._reduce = reduce
        self._items = msgspec.json.Decoder(kind.item)
        self._version = ""

    async def list(self) -> tuple[S, ...]:
        items: list[S] = []
        more = ""
        while True:
            query: dict[str, str | int] = {"limit": PAGE, **self._selector()}
            if more:
                query["continue"] = more
            answer = await self._api.get(f"{self._kind.path}?{urlencode(query)}")
            if answer.status != _OK:
                raise refusal(answer)
            page = _decoded(_PAGES, answer.body)
            items += (kept for kept in map(self._read, page.items) if kept is not None)
            more, self._version = page.metadata.more, page.metadata.resource_version
            if not more:
                return tuple(items)

    async def changes(self) -> AsyncGenerator[Put[S] | Gone[S], None]:
        """Changes from the version on. Raises `_Lost` when they cannot be had any more."""
        pauses, heard_at = _Pauses(), trio.current_time()
        while True:
            begun, at_least = trio.current_time(), 0.0
            try:
                async with self._api.stream(self._path(), idle_seconds=SILENCE_SECONDS) as pieces:
                    async with aclosing(_lines(pieces)) as lines:
                        async for line in lines:
                            heard_at = trio.current_time()
                            change = self._change(line)
                            if change is not None:
                                yield change
                    heard_at = trio.current_time()
            except (Refused, NoAnswer) as lost:
                is_gone = isinstance(lost, Refused) and lost.status == _GONE
                if is_gone or trio.current_time() - heard_at > RESUMED_FOR_SECONDS:
                    raise _Lost(str(lost), _seconds_told(lost)) from lost
                at_least = _seconds_told(lost)
            if trio.current_time() - begun > SHORTEST_WATCH_SECONDS:
                pauses.reset()
            await pauses.take(at_least)

    def _path(self) -> str:
        seconds = random.randint(WATCH_SECONDS - 5, WATCH_SECONDS)
        query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": seconds, **self._selector()}
        return f"{self._kind.path}?{urlencode({**query, 'resourceVersion': self._version})}"

    def _selector(self) -> dict[str, str]:
        return {"labelSelector": self._kind.selector} if self._kind.selector else {}

    def _read(self, raw: msgspec.Raw) -> S | None:
        return self._reduce(_decoded(self._items, raw))

    def _change(self, line: bytes) -> Put[S] | Gone[S] | None:
        event = _decoded(_EVENTS, line)
        about = _decoded(_VERSIONS, event.object)
        if event.type == "ERROR":
            raise Refused(about.code, "", about.message)
        self._version = about.metadata.resource_version or self._version
        if event.type not in _CHANGES or (kept := self._read(event.object)) is None:
            return None
        return Gone(kept) if event.type == "DELETED" else Put(kept)


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    held: list[bytes] = []
    size = 0
    async for piece in pieces:
        rest, *others = piece.split(b"\n")
        held.append(rest)
        size += len(rest)
        for other in others:
            if line := b"".join(held):
                yield line
            held, size = [other], len(other)
        if size > MAX_LINE_BYTES:
            raise _Lost(f"a change has more than {MAX_LINE_BYTES} bytes")


def _decoded(decoder: msgspec.json.Decoder[T], content: bytes | msgspec.Raw) -> T:
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _Lost(f"the API server's answer cannot be read: {error}") from error
