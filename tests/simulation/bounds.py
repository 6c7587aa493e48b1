"""Nothing grows without bound: when everything has come to rest, no queue or table of a node's machine holds much.

Much is more than the runs that the lists still show. The state is left out, which has to remember those, and consensus'
own log, which snapshots bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from slimjobs.core.machine.machine import Machine
from slimjobs.projections.state import State
from tests.core.machine.invariants import Checked, Invariant

AT_REST: Final = 100
"""What any container of a machine may hold beside the runs that are shown, when there is nothing to do."""

_PACKAGES: Final = ("slimjobs.core.machine", "slimjobs.core.supervisor", "slimjobs.projections.desired")


def judge_bounds(machine: Machine, checked: Checked) -> None:
    """Look at every container that can be reached from the machine by its attributes."""
    state = machine.state
    most = AT_REST + len(state.finished) + len(state.active) + len(state.queued) + len(state.deleted)
    for name, size in sizes(machine):
        checked.look(Invariant.BOUNDS)
        assert size <= most, f"{name} holds {size} in peace, more than {most}"


def sizes(machine: Machine) -> Iterator[tuple[str, int]]:
    """Every container with how much is in it, by the path of attributes that leads there."""
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [("machine", machine)]
    while waiting:
        path, thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, State):
            continue
        seen.add(id(thing))
        if isinstance(thing, dict | list | set | deque):
            yield path, len(thing)
        elif type(thing).__module__.startswith(_PACKAGES):
            waiting.extend((f"{path}.{name}", each) for name, each in vars_of(thing))


def vars_of(thing: object) -> Iterator[tuple[str, object]]:
    """The attributes of a plain object or a struct."""
    yield from getattr(thing, "__dict__", {}).items()
    for name in getattr(thing, "__struct_fields__", ()):
        yield name, getattr(thing, name)
