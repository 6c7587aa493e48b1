"""How a command that runs until it is stopped ends: what stops it, and which failure has which exit code."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import structlog
import trio

from slimjobs.deploy.exits import Ended, Exit

Exits = Mapping[type[BaseException], Exit]
"""Exit codes by kind of failure; the first that fits counts."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs")


@contextmanager
def telling_why(exits: Exits) -> Iterator[None]:
    """What keeps a command from starting or going on, as the message and the exit code that the contract gives it.

    Nurseries wrap what ends them into groups; here it is taken out again. What is not expected passes as it is.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        causes = list(_leaves(group))
        if all(isinstance(cause, Ended | BrokenPipeError) for cause in causes):
            raise causes[0] from None
        codes = [_exit_of(cause, exits) for cause in causes]
        if None in codes:
            raise
        raise Ended(next(code for code in codes if code is not None), *map(str, causes)) from None


def _exit_of(cause: BaseException, exits: Exits) -> Exit | None:
    return next((code for kind, code in exits.items() if isinstance(cause, kind)), None)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


async def stop_on_signal(stop: trio.Event) -> None:
    """Set `stop` at the first SIGTERM or SIGINT; at the second, end at once."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        received: AsyncIterator[int] = signals
        async for number in received:
            if stop.is_set():
                raise Ended(Exit.NO, f"a second {signal.Signals(number).name}: ended at once")
            _log.info("stopping", signal=signal.Signals(number).name)
            stop.set()
