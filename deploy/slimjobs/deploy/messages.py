"""Messages of a running node on stderr: lines for people on a terminal, JSON for machines (contract §1, LogFormat)."""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog

from slimjobs.core.configuration.settings import LogFormat, LogLevel
from slimjobs.deploy.streams import tell

_LEVELS: Final = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}


class _Teller:
    """Where messages of every level end. A message is said in the middle of other work, so saying it never fails."""

    def msg(self, message: str) -> None:
        tell(message)

    debug = info = warning = error = critical = msg


class _Passing(logging.Handler):
    """What the event log says by the standard library's logging, said like everything else."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, record.getMessage(), **({"exc_info": record.exc_info} if record.exc_info else {}))


def configure_messages(level: LogLevel, form: LogFormat) -> None:
    """Send every message of this level and above to stderr, in this form. Call it once, before anything is said."""
    last: list[structlog.typing.Processor]
    if form is LogFormat.CONSOLE:
        colors = sys.stderr.isatty()
        # rich tracebacks load rich, which a node has no other use for.
        last = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: _Teller(),
        cache_logger_on_first_use=True,
    )
    ours = logging.getLogger("slimjobs")
    ours.handlers, ours.propagate = [_Passing()], False
    ours.setLevel(_LEVELS[level])
