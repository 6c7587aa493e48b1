"""Three nodes, thirty-two clients, and something that goes wrong in every round.

What a client was told must hold for ever, on every node. SLIMJOBS_SOAK in the environment makes it a hundred rounds
instead of ten; SLIMJOBS_SEED repeats the choices of a run that failed.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.deploy.cluster.chronicle import (
    Chronicle,
    assert_ended,
    assert_kept,
    assert_refused_truly,
    assert_same_everywhere,
    assert_told_truly,
    lives,
)
from tests.deploy.cluster.faults import FAILOVER_SECONDS, FAULTS, Scene
from tests.deploy.cluster.history import steps_back
from tests.deploy.cluster.load import Load
from tests.deploy.cluster.machines import Cluster, cluster
from tests.deploy.nodes import until

ROUNDS: Final = 100 if os.environ.get("SLIMJOBS_SOAK") else 10
SEED: Final = int(os.environ.get("SLIMJOBS_SEED") or secrets.randbits(32))
THINK_SECONDS: Final = 0.5
CALM_SECONDS: Final = 0.5
SLOW_SECONDS: Final = 0.02
HURRIED: Final = ("the leader is killed",)
"""What has to be over in time, on a network such as a cluster has; other rounds may have a slow one."""

DRAIN_SECONDS: Final = 60 + 3 * ROUNDS
"""For all that is left in the queues."""

CAPS: Final = {"steady": 8, "flaky": 4}
WISHES: Final = ("steady", "steady", "steady", "flaky")
ATTEMPTS: Final = {"steady": 1, "flaky": 2}
SETTINGS: Final = {
    "SlimFaas__BackoffSeconds": "0.01",
    "SlimFaas__MaxFinishedJobs": "1000000",
    "SlimFaas__MaxIdempotencyKeys": "1000000",
    "SlimData__SnapshotIntervalEntries": "200",
}

# Each attempt leaves its run's id; of some jobs the first attempt fails.
STEADY: Final = 'printf "%s\\n" "$SLIMFAAS_JOB_ID" >> "$PLACE/starts"'
FLAKY: Final = f'{STEADY}; test -e "$PLACE/$SLIMFAAS_JOB_ID" || {{ : > "$PLACE/$SLIMFAAS_JOB_ID"; exit 1; }}'


def say(line: str) -> None:
    """For whoever reads why the test failed, or what it did."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def definition(script: str, cap: int, place: Path) -> dict[str, Any]:
    return {
        "Command": ["/bin/sh", "-c", script],
        "Environments": [{"name": "PLACE", "value": str(place)}],
        "NumberParallelJob": cap,
        "TtlSecondsAfterFinished": 36000,
    }


def rounds() -> Iterator[str]:
    """Every fault in its turn, in an order of chance; and again."""
    order, choice = list(FAULTS), random.Random(SEED)
    for number in range(ROUNDS):
        if number % len(order) == 0:
            choice.shuffle(order)
        yield order[number % len(order)]


def play(scene: Scene, chronicle: Chronicle) -> None:
    """The rounds: what goes wrong, and all that heals."""
    for number, name in enumerate(rounds()):
        begun, outcome = time.monotonic(), "FAILED"
        scene.said.clear()
        if name not in HURRIED and scene.random.random() < 0.3:
            scene.cluster.network.slow_down(SLOW_SECONDS)
            scene.said.append("slow links")
        try:
            FAULTS[name](scene)
            scene.cluster.network.mend()
            scene.cluster.until_ready()
            chronicle.read_on(scene.cluster)
            scene.load.check()
            outcome = "healed"
        finally:
            say(f"round {number}: {name}: {'; '.join(scene.said)}: {outcome} after {time.monotonic() - begun:.1f} s")
        time.sleep(CALM_SECONDS)


def all_ended(running: Cluster) -> bool:
    """Whether nothing waits or runs any more."""
    status, said, _ = running.leader().ask("GET", "/jobs/status")
    return status == 200 and not any(each["Queued"] or each["Active"] for each in said["Definitions"])


def assert_checkpoints_agree(running: Cluster) -> None:
    """While records come in, all report one checkpoint, and the same hash of it.

    In a quiet cluster they need not: a node that came back by a snapshot has hashed nothing before the next checkpoint.
    """
    said: list[tuple[int, str]] = []

    def all_tell_of_one() -> bool:
        said[:] = [(row["CheckpointIndex"], row["CheckpointHash"]) for row in running.rows().values()]
        return len({index for index, _ in said}) == 1

    until(all_tell_of_one, "all tell of one checkpoint")
    assert len(set(said)) == 1, said
    assert all(digest for _, digest in said), said


def test_what_was_acknowledged_is_there_once_whatever_happens_to_the_nodes(tmp_path: Path) -> None:
    say(f"SLIMJOBS_SEED={SEED}")
    place, chronicle = tmp_path / "runs", Chronicle()
    place.mkdir()
    jobs = {"steady": STEADY, "flaky": FLAKY}
    definitions = {job: definition(script, CAPS[job], place) for job, script in jobs.items()}
    with cluster(tmp_path, definitions, SEED, **SETTINGS) as running:
        running.until_ready()
        load = Load(running.ports, WISHES, SEED, THINK_SECONDS)
        scene = Scene(running, load, tmp_path, SEED)
        with load.running():
            play(scene, chronicle)
            assert_checkpoints_agree(running)
            load.finish()
        until(lambda: all_ended(running), "every run has ended", DRAIN_SECONDS)
        even = running.until_even()
        chronicle.read_on(running)
        running.stop_all()
        assert len(chronicle.entries) == even

        assert_same_everywhere(running, chronicle, even)
        history = load.history
        found = lives(chronicle)
        assert_kept(history, found)
        assert_refused_truly(history, found)
        assert_ended(found, Counter((place / "starts").read_text().split()), ATTEMPTS)
        assert next(steps_back(history.answers), None) is None
        reads = assert_told_truly(history, chronicle)

        say(f"{len(found)} runs, {len(history.deleted)} deletions, {reads} reads, {even} entries")
        say(f"{len(history.unknown)} of unknown outcome, {len(history.surely_not)} refused")
        assert max(scene.failovers) <= FAILOVER_SECONDS
