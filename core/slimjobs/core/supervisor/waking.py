"""Services that sleep until a run needs them: woken from zero, put to sleep when nobody has needed them for a while.

    replicas    needed by a run    for how long not      effect
    0           yes                                      Scale to what it starts with
    above 0     yes                                      none: how many there are is not our affair
    above min   no                 its time to sleep     Scale to its minimum
    any         no                 shorter               none

Only a service that says so is ever scaled, and only as it was seen: whoever has scaled it since wins. The time not
needed begins anew with every leader, so none is ever put to sleep too early.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from slimjobs.core.orchestrators.ports import (
    Accepted,
    Missing,
    ObservedService,
    Outcome,
    Rejected,
    Scale,
    Scaling,
    Unavailable,
)
from slimjobs.core.supervisor.picture import Picture

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1, 30
SECOND_NS: Final = 1_000_000_000


class _Progress(msgspec.Struct):
    """How far the work on one service is. `done_with`: the version that needs no other request."""

    needed_ns: int
    under_way: int | None = None
    done_with: str = ""
    failures: int = 0
    retry_ns: int = 0
    trouble: str = ""


class Waking:
    """The scaling of services, as a leader does it."""

    def __init__(self) -> None:
        self._progress: dict[str, _Progress] = {}
        self._under_way: dict[int, tuple[str, str]] = {}
        self._next_number = 1

    def begin_to_lead(self) -> None:
        """Nobody knows when anything was needed last. Requests of an earlier reign still end here, without effect."""
        self._progress.clear()
        self._under_way.clear()

    def trouble(self, name: str) -> str:
        """Why a service that should be awake could not be woken; empty if it could."""
        progress = self._progress.get(name)
        return "" if progress is None else progress.trouble

    def due(self, picture: Picture, needed: Collection[str], now_ns: int) -> Iterator[tuple[int, Scale]]:
        """What is to be asked for now, each with a number of its own."""
        for name in [name for name in self._progress if name not in picture.services]:
            del self._progress[name]
        for name, service in picture.services.items():
            if service.scaling is None:
                continue
            progress = self._progress.setdefault(name, _Progress(now_ns))
            if name in needed:
                progress.needed_ns = now_ns
            wanted = _wanted(service, service.scaling, name in needed, now_ns - progress.needed_ns)
            if wanted is None:
                progress.trouble, progress.failures = "", 0
            elif self._may_ask(progress, service, now_ns):
                yield self._begin(progress, Scale(name, service.version, wanted))

    def _may_ask(self, progress: _Progress, service: ObservedService, now_ns: int) -> bool:
        return progress.under_way is None and progress.retry_ns <= now_ns and progress.done_with != service.version

    def _begin(self, progress: _Progress, scale: Scale) -> tuple[int, Scale]:
        number, self._next_number = self._next_number, self._next_number + 1
        self._under_way[number] = scale.name, scale.version
        progress.under_way = number
        return number, scale

    def ended(self, number: int, outcome: Outcome, now_ns: int) -> None:
        """Take the outcome of a request in."""
        name, version = self._under_way.pop(number, ("", ""))
        progress = self._progress.get(name)
        if progress is None or progress.under_way != number:
            return
        progress.under_way = None
        match outcome:
            case Unavailable(detail) | Rejected(detail):
                wait = min(FIRST_RETRY_SECONDS << min(progress.failures, 10), LAST_RETRY_SECONDS)
                progress.failures += 1
                progress.retry_ns, progress.trouble = now_ns + wait * SECOND_NS, detail
            case Accepted() | Missing():
                progress.done_with, progress.failures, progress.trouble = version, 0, ""

    def next_wake_ns(self, picture: Picture, needed: Collection[str]) -> int | None:
        """When something is due that no sight will announce, on the monotonic clock."""
        return min(self._wakes(picture, needed), default=None)

    def _wakes(self, picture: Picture, needed: Collection[str]) -> Iterator[int]:
        for name, progress in self._progress.items():
            service = picture.services.get(name)
            if service is None or service.scaling is None or progress.under_way is not None:
                continue
            if progress.done_with == service.version:
                continue
            if name in needed and service.replicas == 0:
                yield progress.retry_ns
            elif name not in needed and service.replicas > service.scaling.replicas_min:
                yield max(progress.retry_ns, progress.needed_ns + service.scaling.sleep_after_seconds * SECOND_NS)


def _wanted(service: ObservedService, scaling: Scaling, needed: bool, idle_ns: int) -> int | None:
    """How many replicas there should be instead; None if nothing is to be changed."""
    if needed:
        return max(scaling.replicas_at_start, 1) if service.replicas == 0 else None
    is_over = idle_ns >= scaling.sleep_after_seconds * SECOND_NS
    return scaling.replicas_min if is_over and service.replicas > scaling.replicas_min else None
