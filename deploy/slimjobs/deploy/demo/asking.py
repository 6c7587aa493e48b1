"""Asking the nodes of a demonstration: plain blocking HTTP in a thread, as any client would do it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeVar, TypeVarTuple, Unpack

import trio

from slimjobs.deploy.client import Client, Refused, Response, Unreachable

PATIENCE_SECONDS: Final = 60.0
LOOKED_AT_SECONDS: Final = 0.2
PASSING: Final = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})

Args = TypeVarTuple("Args")
Answered = TypeVar("Answered")


async def ask(url: str, method: str, path: str, body: object = None) -> Response:
    """What the first of the nodes at these URLs answers that does.

    While none does, or none can yet (503, 504), it is asked again, with one key: it is done once, if it is. Raises as
    `Client` does, after PATIENCE_SECONDS at the latest.
    """
    client = Client(url)
    headers = {} if method == "GET" else {"Idempotency-Key": uuid.uuid4().hex}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await in_thread(client.request, method, path, body, headers)
        except (Refused, Unreachable) as error:
            passing = isinstance(error, Unreachable) or error.status in PASSING
            if not passing or time.monotonic() >= deadline:
                raise
        await trio.sleep(LOOKED_AT_SECONDS)


async def in_thread(call: Callable[[Unpack[Args]], Answered], *arguments: *Args) -> Answered:
    """What a call gives that blocks; nobody waits for it any more if the task is cancelled."""
    return await trio.to_thread.run_sync(call, *arguments, abandon_on_cancel=True)
