"""What the programs say while they run goes into the tale, with the name of the node, and nowhere else.

It is no part of the trace: some of it is said at most once a minute of real time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from tests.simulation.programs.life import here_or_nobody
from tests.simulation.programs.tale import Tale

_LOGGER = logging.getLogger("slimjobs")


class _IntoTale(logging.Handler):
    def __init__(self, tale: Tale) -> None:
        super().__init__(logging.INFO)
        self._tale = tale

    def emit(self, record: logging.LogRecord) -> None:
        self._tale.mention(here_or_nobody(), "says:", record.getMessage())


@contextmanager
def messages_into(tale: Tale) -> Iterator[None]:
    """While this lasts, messages are told."""

    def tell(_: object, __: str, said: structlog.typing.EventDict) -> structlog.typing.EventDict:
        facts = (f"{name}={fact}" for name, fact in said.items() if name != "event")
        tale.mention(here_or_nobody(), "says:", said["event"], *facts)
        raise structlog.DropEvent

    configured, propagated, level = structlog.get_config(), _LOGGER.propagate, _LOGGER.level
    handler = _IntoTale(tale)
    structlog.configure(processors=[tell], cache_logger_on_first_use=False)
    _LOGGER.addHandler(handler)
    _LOGGER.propagate = False
    _LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        structlog.configure(**configured)
        _LOGGER.removeHandler(handler)
        _LOGGER.propagate = propagated
        _LOGGER.setLevel(level)
