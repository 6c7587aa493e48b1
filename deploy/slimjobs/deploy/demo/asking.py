"""Asking the nodes of a demonstration: plain blocking HTTP in a thread, as any client would do it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeVar, TypeVarTuple, Unpack

import trio

from slimjobs.deploy.client import Client, Lost, Refused, Response, Unreachable

PATIENCE_SECONDS: Final = 60.0
LOOKED_AT_SECONDS: Final = 0.2
PASSING: Final = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})

Args = TypeVarTuple("Args")
Answered = TypeVar("Answered")


async def ask(url: str, method: str, path: str, body: object = None) -> Response:
    """What the first of the nodes at these URLs answers that does; with one key, so that it is done once, if it is."""
    headers = {} if method == "GET" else {"Idempotency-Key": uuid.uuid4().hex}
    return await _patiently(Client(url).request, method, path, body, headers)


async def output(url: str, path: str) -> str:
    """The output behind a path, whole."""

    def read() -> bytes:
        return b"".join(Client(url).stream(path))

    return (await _patiently(read)).decode(errors="replace").strip()


async def _patiently(call: Callable[[Unpack[Args]], Answered], *arguments: *Args) -> Answered:
    """What the call gives, tried again while no node answers, or none can yet, or the one that did was killed in it.

    Raises as `Client` does for whatever else there is, and after PATIENCE_SECONDS.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await in_thread(call, *arguments)
        except (Refused, Unreachable, Lost) as error:
            if (isinstance(error, Refused) and error.status not in PASSING) or time.monotonic() >= deadline:
                raise
        await trio.sleep(LOOKED_AT_SECONDS)


async def in_thread(call: Callable[[Unpack[Args]], Answered], *arguments: *Args) -> Answered:
    """What a call gives that blocks; nobody waits for it any more if the task is cancelled."""
    return await trio.to_thread.run_sync(call, *arguments, abandon_on_cancel=True)
