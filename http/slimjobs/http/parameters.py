"""The parameters of a query string, read and bounded; all that are wrong are told at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from slimjobs.core.configuration.nearest import did_you_mean
from slimjobs.core.decide.refusals import Invalid, Problem
from slimjobs.http.strict_json import shown
from slimjobs.http.surface import BadRequest
from slimjobs.projections.views import RunStatus

MAX_WAIT_SECONDS: Final = 60.0
MAX_ROWS: Final = 1000
MAX_TAIL_LINES: Final = 1_000_000

MAX_UNKNOWN: Final = 10  # each that is told costs a comparison with every known one

_CONSISTENCIES: Final = {"linearizable": False, "stale": True}
_STATUSES: Final = {str(status).lower(): status for status in RunStatus}
_SWITCH: Final = {"true": True, "1": True, "": True, "false": False, "0": False}
_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_DECIMAL: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?")  # as JSON writes numbers


class Parameters:
    """A query string's parameters. Those that a route asks for are those that it knows: any other is refused, so that
    a mistyped one is not taken for an absent one.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self._known: list[str] = []
        self._problems: list[Problem] = []

    def whole(self, name: str, default: int | None, least: int, most: int) -> int | None:
        """A whole number within bounds."""
        text = self._take(name)
        if text is None:
            return default
        if _WHOLE.fullmatch(text) and least <= int(text) <= most:
            return int(text)
        self._refuse(name, text, f"a whole number from {least} to {most}")
        return default

    def seconds(self, name: str, most: float) -> float:
        """A number of seconds; none are 0."""
        text = self._take(name)
        if text is None:
            return 0.0
        if _DECIMAL.fullmatch(text) and float(text) <= most:
            return float(text)
        self._refuse(name, text, f"a number of seconds from 0 to {most:g}")
        return 0.0

    def switch(self, name: str) -> bool:
        """On or off; the bare name means on."""
        text = self._take(name)
        if text is None:
            return False
        if text.lower() not in _SWITCH:
            self._refuse(name, text, "true or false")
        return _SWITCH.get(text.lower(), False)

    def status(self, name: str) -> RunStatus | None:
        """A status, in any case."""
        text = self._take(name)
        if text is None or text.lower() in _STATUSES:
            return None if text is None else _STATUSES[text.lower()]
        self._refuse(name, text, f"one of {', '.join(RunStatus)}{did_you_mean(text, RunStatus)}")
        return None

    def text(self, name: str, most: int) -> str:
        """A text of which no more than so many characters are kept; none is empty."""
        return (self._take(name) or "")[:most]

    def stale(self) -> bool:
        """Whether what this node has is good enough (`consistency`); unless that is said, it is not."""
        text = self._take("consistency")
        if text is None or text.lower() in _CONSISTENCIES:
            return text is not None and _CONSISTENCIES[text.lower()]
        self._refuse("consistency", text, " or ".join(_CONSISTENCIES))
        return False

    def raise_if_wrong(self) -> None:
        """Raises BadRequest if any parameter could not be read, or is none that was asked for."""
        unknown = [name for name in self._given if name not in self._known]
        problems = self._problems + [self._unknown(name) for name in unknown[:MAX_UNKNOWN]]
        if problems:
            raise BadRequest(Invalid(tuple(problems)))

    def _take(self, name: str) -> str | None:
        self._known.append(name)
        return self._given.get(name)

    def _unknown(self, name: str) -> Problem:
        return Problem("", f"unknown parameter '{shown(name)}'{did_you_mean(name, self._known)}")

    def _refuse(self, name: str, text: str, takes: str) -> None:
        self._problems.append(Problem("", f"the parameter '{name}' takes {takes}, not '{shown(text)}'"))
