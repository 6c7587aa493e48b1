"""The orchestrator of the simulation, with the trouble that a real one makes beside its rules.

Objects of other clusters take names, pods fail, hang and are lost, and a watch may skip what an object was in between.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from slimjobs.core.orchestrators.ports import Changed, Job, Observation, ObservedAttempt, ObservedJob, Phase, Vanished
from slimjobs.eventlog.events.runs import RunId
from tests.core.machine.invariants import Invariant
from tests.core.machine.orchestrator import FINAL
from tests.core.machine.shared_orchestrator import SharedOrchestrator

ANOTHER_CLUSTER = "another-cluster"


class Server(SharedOrchestrator):
    """`hanging` objects do not go on, pods of `retries` shares fail and are tried again.

    `holds_slot` and `queue_of` are what the log says of a run.
    """

    def __init__(self, caps: dict[str, int], random: Random) -> None:
        super().__init__(caps)
        self.hanging: set[str] = set()
        self.retries = 0.0
        self.lost_pods = 0.0
        self.image_trouble = 0.0
        self.holds_slot: Callable[[RunId], bool] = lambda run: True
        self.queue_of: Callable[[RunId], str] = lambda run: ""
        self._random = random

    # What happens by itself -----------------------------------------------------------------------------------------

    def moving(self) -> list[str]:
        """The objects that will change by themselves."""
        return [name for name in super().moving() if name not in self.hanging and not self._is_stranger(name)]

    def move(self, name: str, *, well: bool = True) -> None:
        """Let an object go on, or only its pods."""
        job = self.objects[name]
        if job.ending or job.phase in FINAL:
            super().move(name, well=well)
        elif job.phase is Phase.PENDING and self._random.random() < self.image_trouble:
            self._change(msgspec.structs.replace(job, phase=Phase.WAITING_FOR_IMAGE, detail="ImagePullBackOff"))
        elif job.phase in (Phase.PENDING, Phase.WAITING_FOR_IMAGE):
            self._change(msgspec.structs.replace(job, phase=Phase.RUNNING, attempts=_another(job.attempts, 1)))
        elif self._random.random() < self.retries:
            self._change(msgspec.structs.replace(job, attempts=_another(_ended(job.attempts, 1, "Error"), 1)))
        elif self._random.random() < self.lost_pods:
            self._change(msgspec.structs.replace(job, attempts=_another(job.attempts[:-1], 2)))
        else:
            phase, reason = (Phase.SUCCEEDED, "") if well else (Phase.FAILED, "BackoffLimitExceeded")
            attempts = _ended(job.attempts, 0 if well else 1, "")
            self._change(msgspec.structs.replace(job, phase=phase, attempts=attempts, reason=reason))

    def calm(self) -> None:
        """Nothing hangs any more, and pods come to their end."""
        self.hanging.clear()
        self.silent.clear()
        self.retries = self.lost_pods = self.image_trouble = 0.0

    def _judge_caps(self) -> None:
        super()._judge_caps()
        for job in self.objects.values():
            if job.phase in (Phase.PENDING, Phase.RUNNING, Phase.WAITING_FOR_IMAGE):
                self.checked.look(Invariant.CAP)
                assert self.holds_slot(job.run), f"{job.name} is under way, and the log gives it no slot"

    def _queue_of(self, asked: Job) -> str:
        return self.queue_of(asked.run)

    # Hands ----------------------------------------------------------------------------------------------------------

    def delete_by_hand(self, name: str) -> None:
        """Somebody removes an object: it goes when what runs of it has ended."""
        self._change(msgspec.structs.replace(self.objects[name], ending=True))

    def take_name(self, name: str, run: RunId) -> bool:
        """Another cluster, which thinks that it has the same run, takes this name if it is free."""
        if name in self.objects:
            return False
        stranger = ObservedJob(name, self._new_uid(), ANOTHER_CLUSTER, run, Phase.SUSPENDED)
        self._jobs[name] = ANOTHER_CLUSTER
        self.strangers.add(stranger.uid)
        self._change(stranger)
        return True

    def strangers_leave(self) -> None:
        """The other cluster removes what is its own."""
        for name in [name for name in self.objects if self._is_stranger(name)]:
            self.vanish(name)

    def _is_stranger(self, name: str) -> bool:
        return self.objects[name].uid in self.strangers

    def vanish(self, name: str) -> None:
        """An object goes: at the end of its deletion, when its time is over, or by somebody's hand."""
        self.hanging.discard(name)
        super().vanish(name)

    # Watching -------------------------------------------------------------------------------------------------------

    def skip(self, node: str) -> int:
        """Let a node's watch go on at a later version: of every object it is told the last only. How much it missed."""
        watch = self.watches.get(node)
        if watch is None:
            return 0
        last = {_uid(each): number for number, each in enumerate(watch.ahead)}
        kept = [each for number, each in enumerate(watch.ahead) if last[_uid(each)] == number]
        missed = len(watch.ahead) - len(kept)
        watch.ahead.clear()
        watch.ahead.extend(kept)
        return missed


# What is about no single object is never missed.
def _uid(observation: Observation) -> str | int:
    return observation.job.uid if isinstance(observation, Changed | Vanished) else id(observation)


def _another(attempts: tuple[ObservedAttempt, ...], step: int) -> tuple[ObservedAttempt, ...]:
    number = attempts[-1].number + step if attempts else step
    return (*attempts[-2:], ObservedAttempt(number, 1))


def _ended(attempts: tuple[ObservedAttempt, ...], code: int, reason: str) -> tuple[ObservedAttempt, ...]:
    last = msgspec.structs.replace(attempts[-1], ended_at_ms=2, exit_code=code, reason=reason)
    return (*attempts[:-1], last)
