"""A service of the runner and what can happen to it: a few pure functions, without clock or process.

Stands under `upkeep.py`, which keeps services in these states. Nothing of it is durable: a runner that starts has every
service declared anew, asleep, and is asked again to wake those that are needed.

A service has a *place* for each replica that is wanted, numbered from 0. It is ready when at least one of its processes
runs and its port takes connections (contract §6). Several replicas share that port: a program that is to have more than
one must listen with SO_REUSEPORT.
"""

from __future__ import annotations

import msgspec

from slimjobs.core.configuration.services import Service
from slimjobs.core.orchestrators.ports import ObservedService, Scaling
from slimjobs.core.orchestrators.process.states import Exit


class KeptService(msgspec.Struct, frozen=True):
    """A service as it is declared, wanted and found.

    `running` are the places whose process runs and is to stay. `answers` is what was found at the port last; it is
    `certain` if no process has ended since. `trouble` is what went wrong since it answered last.
    """

    name: str
    declared: Service
    version: str
    replicas: int = 0
    running: frozenset[int] = frozenset()
    answers: bool = False
    certain: bool = False
    trouble: str = ""

    @property
    def doubtful(self) -> bool:
        """Whether somebody has to find out if it answers."""
        return bool(self.running) and not (self.answers and self.certain)

    @property
    def ready(self) -> bool:
        """Whether it can be used."""
        return bool(self.running) and self.answers


def same_program(one: Service, other: Service) -> bool:
    """Whether processes of the one can stay for the other."""
    return (one.command, one.ready_port) == (other.command, other.ready_port)


def declared_anew(kept: KeptService, declared: Service, version: str) -> KeptService:
    """Declared otherwise: processes of another program do not count any more. Declared the same, nothing changes."""
    if declared == kept.declared:
        return kept
    changed = msgspec.structs.replace(kept, declared=declared, version=version)
    return changed if same_program(declared, kept.declared) else _without_processes(changed)


def scaled(kept: KeptService, replicas: int, version: str) -> KeptService:
    """With so many replicas wanted; the places beyond do not count any more. As many as before: nothing changes."""
    if replicas == kept.replicas:
        return kept
    changed = msgspec.structs.replace(kept, replicas=replicas, version=version)
    staying = frozenset(place for place in kept.running if place < replicas)
    if not staying:
        return _without_processes(changed)
    return msgspec.structs.replace(changed, running=staying, certain=kept.certain and staying == kept.running)


def begun(kept: KeptService, place: int) -> KeptService:
    """A process was started at this place."""
    return msgspec.structs.replace(kept, running=kept.running | {place})


def ended(kept: KeptService, place: int, trouble: str) -> KeptService:
    """The process at this place is gone, and was to stay. Whether the others answer has to be found out."""
    others = kept.running - {place}
    return msgspec.structs.replace(
        kept, running=others, answers=kept.answers and bool(others), certain=False, trouble=trouble
    )


def held_up(kept: KeptService, trouble: str) -> KeptService:
    """No process can be started, because of this."""
    return msgspec.structs.replace(kept, trouble=trouble)


def found(kept: KeptService, answers: bool) -> KeptService:
    """Its port takes connections, or none."""
    trouble = "" if answers else kept.trouble
    return msgspec.structs.replace(kept, answers=answers, certain=answers, trouble=trouble)


def observed(kept: KeptService) -> ObservedService:
    """The service as the port shows it."""
    return ObservedService(
        name=kept.name,
        ready=kept.ready,
        reason="" if kept.ready else _reason(kept),
        replicas=kept.replicas,
        version=kept.version,
        scaling=Scaling(kept.declared.replicas_at_start, 0, kept.declared.sleep_after_seconds),
    )


def trouble_of(exit: Exit, last_words: str) -> str:
    """What went wrong, of a process that ended so; `last_words` is the last line of its output."""
    if exit.reason == "StartError":
        return f"its program cannot be started: {last_words.rpartition(': ')[2] or f'exit code {exit.code}'}"
    if exit.code is None:
        return "its process was killed with what kept it, and is started again"
    return f"its process ended with exit code {exit.code}, and is started again"


# How many times it was tried, or how long it takes until the next, is left out: every change of this is an event.
def _reason(kept: KeptService) -> str:
    if not kept.replicas:
        return "it is asleep"
    return kept.trouble or f"nothing answers on port {kept.declared.ready_port} yet"


def _without_processes(kept: KeptService) -> KeptService:
    return msgspec.structs.replace(kept, running=frozenset(), answers=False, certain=False, trouble="")
