"""A crash at every write: what was acknowledged is there, nothing is done twice, caps hold, everything ends."""

from __future__ import annotations

import random

import pytest

from slimjobs.core.decide.commands import Accepted, Deleted, DeleteRun, IdempotencyKey, Requested, Trigger
from slimjobs.core.machine.inputs import Token
from slimjobs.core.machine.queries import ListRuns, ShowRun
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.orchestrators.ports import Unavailable
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.storage.requests import Persist
from tests.core.machine.world import World, definition, runs_in

DEFINITIONS = {"fib": definition(cap=2), "web": definition(cap=1)}
OFTEN = MachineSettings(snapshot_interval_entries=7)


def run_of(number: int) -> RunId:
    return RunId(number.to_bytes(10, "big"))


def trigger(*runs: int, job: str = "fib", key: str = "") -> Trigger:
    asked = tuple(Requested(run_of(run), job) for run in runs)
    return Trigger(asked, True, IdempotencyKey(key.encode().ljust(16), bytes(16)) if key else None)


class Power:
    """Lets the node run until its n-th write, and crashes it before or after that is durable."""

    def __init__(self, world: World, writes: int, *, durable: bool) -> None:
        self.world = world
        self.writes = writes
        self.durable = durable

    def step(self) -> bool:
        """Let the next thing happen; False if nothing can."""
        things = [thing for thing in self.world.possible() if thing != self.world.wake]
        if not things:
            return False
        if things[0] == self.world.write and isinstance(self.world.disk.pending[0], Persist):
            self.writes -= 1
            if self.writes == 0:
                self.world.crash(kept=int(self.durable))
                return True
        things[0]()
        return True


def tell_the_story(world: World, power: Power) -> list[Token]:
    """Triggers, a batch, keys sent twice, deletions in every state, a vanished object: with steps in between."""
    acts: list[Trigger | DeleteRun] = [
        trigger(1),
        trigger(2, 3, 4),
        trigger(5, key="a"),
        trigger(6, key="a"),
        DeleteRun("fib", run_of(4), True),
        trigger(7, 8, job="web"),
        DeleteRun("fib", run_of(1), True),
        trigger(9, key="b", job="web"),
        trigger(10, key="b", job="web"),
        DeleteRun("web", run_of(7), True),
    ]
    tokens = []
    for number, act in enumerate(acts):
        tokens.append(world.call(act))
        for _ in range(number + 2):
            power.step()
        if number == 6:
            for name in list(world.orchestrator.objects)[:1]:
                world.orchestrator.vanish(name)
    while power.step():
        pass
    world.settle()
    return tokens


def keys_enqueued_once(world: World) -> None:
    assert len(runs_in(world, (run_of(5), run_of(6)))) <= 1
    assert len(runs_in(world, (run_of(9), run_of(10)))) <= 1


def test_without_a_crash_everybody_is_told_and_everything_ends() -> None:
    world = World(DEFINITIONS)
    tokens = tell_the_story(world, Power(world, 10**9, durable=True))
    values = [world.value_of(token) for token in tokens]
    assert values[:4] == [
        Accepted((run_of(1),)),
        Accepted((run_of(2), run_of(3), run_of(4))),
        Accepted((run_of(5),)),
        Accepted((run_of(5),), replayed=True),
    ]
    assert values[4] == Deleted(promised=True)
    assert not world.asked
    world.judge()
    assert len(world.disk.history) > 20


@pytest.mark.parametrize("durable", [False, True], ids=["before it is durable", "after"])
@pytest.mark.parametrize("settings", [MachineSettings(), OFTEN], ids=["one log", "snapshots"])
def test_a_crash_at_any_write_loses_and_repeats_nothing(settings: MachineSettings, durable: bool) -> None:
    writes = 0
    while True:
        writes += 1
        world = World(DEFINITIONS, settings)
        power = Power(world, writes, durable=durable)
        tell_the_story(world, power)
        keys_enqueued_once(world)
        world.judge()
        if power.writes > 0:
            break
    assert writes > 25, "every write of the story was tried"


@pytest.mark.parametrize("between", range(1, 8))
def test_crashes_one_after_another_still_come_to_an_end(between: int) -> None:
    world = World(DEFINITIONS, OFTEN)
    for round_ in range(12):
        tell_the_story_of_one(world, 10 * round_, Power(world, between, durable=bool(round_ % 2)))
    world.settle()
    world.judge()


def tell_the_story_of_one(world: World, first: int, power: Power) -> None:
    world.call(trigger(first + 1, first + 2, first + 3))
    for _ in range(30):
        power.step()


def test_snapshots_are_taken_and_started_from() -> None:
    world = World(DEFINITIONS, OFTEN)
    for number in range(1, 40):
        world.call(trigger(number))
        world.settle()
    assert world.disk.published is not None
    assert world.disk.published.header.index > 100
    world.crash()
    world.settle()
    world.judge()


def test_a_refused_snapshot_leaves_the_older_one_and_is_tried_again() -> None:
    world = World(DEFINITIONS, OFTEN)
    world.disk.refuses_snapshots = True
    for number in range(1, 10):
        world.call(trigger(number))
        world.settle()
    assert world.disk.published is None
    world.disk.refuses_snapshots = False
    for number in range(10, 20):
        world.call(trigger(number))
        world.settle()
    assert world.disk.published is not None
    world.crash()
    world.settle()
    world.judge()


class Chance:
    """Anything may happen at any time: seeded, so that a seed tells the same story again."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        settings = MachineSettings(snapshot_interval_entries=self.dice.choice([5, 20, 10**6]))
        self.world = World(DEFINITIONS, settings)
        self.triggered: list[tuple[str, RunId]] = []
        self.keys: dict[str, tuple[str, list[RunId]]] = {}

    def step(self) -> None:
        """One thing happens."""
        roll, world = self.dice.random(), self.world
        if roll < 0.01:
            world.crash(kept=self.dice.randrange(4))
        elif roll < 0.02:
            world.orchestrator.lose_watch()
        elif roll < 0.03 and world.orchestrator.objects:
            world.orchestrator.vanish(self.dice.choice(list(world.orchestrator.objects)))
        elif roll < 0.05 and world.in_flight:
            self._answer_nothing(world)
        elif roll < 0.15:
            self._call()
        elif roll < 0.2 and world.acknowledged:
            run, job = self.dice.choice(list(world.acknowledged.items()))
            world.ask(ShowRun(job, run, True) if self.dice.random() < 0.5 else ListRuns(job, True))
        elif things := world.possible():
            self.dice.choice(things)()

    def _answer_nothing(self, world: World) -> None:
        sent = self.dice.choice(world.in_flight)
        if self.dice.random() < 0.5 and sent.outcome is None:
            world.arrive(sent)
        world.reply(sent, Unavailable("no answer"))

    def _call(self) -> None:
        job = self.dice.choice(["fib", "web"])
        if self.dice.random() < 0.25 and self.triggered:
            name, run = self.dice.choice(self.triggered)
            self.world.call(DeleteRun(name, run, True))
            return
        first = len(self.triggered) + 1
        runs = tuple(run_of(first + i) for i in range(self.dice.choice([1, 1, 3])))
        key = self.dice.choice(["", "", f"key{self.dice.randrange(5)}"])
        if key:
            job, known = self.keys.setdefault(key, (job, []))
            runs = runs[:1]
            known += runs
        self.triggered += [(job, run) for run in runs]
        numbers = [int.from_bytes(run, "big") for run in runs]
        self.world.call(trigger(*numbers, job=job, key=key))


@pytest.mark.parametrize("block", range(10))
def test_whatever_happens_in_whatever_order_promises_are_kept(block: int) -> None:
    for seed in range(20 * block, 20 * block + 20):
        chance = Chance(seed)
        for _ in range(400):
            chance.step()
        chance.world.settle()
        for _, runs in chance.keys.values():
            assert len(runs_in(chance.world, runs)) <= 1, f"seed {seed}: a key was enqueued twice"
        chance.world.judge()
