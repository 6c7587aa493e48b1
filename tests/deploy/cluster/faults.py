"""What happens to the cluster: each fault does its harm, lasts a while, and is over when it returns."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.deploy.cluster.load import Load
from tests.deploy.cluster.machines import Cluster, Machine, set_aside
from tests.deploy.cluster.wires import Cut
from tests.deploy.nodes import until

STANDSTILL_SECONDS: Final = 3.0
FAILOVER_SECONDS: Final = 2.5
TRANSFER_SECONDS: Final = 3.0
LOST_DISKS: Final = "lost-disks"


class Scene:
    """Where faults happen. `said` is what each has to say about itself."""

    def __init__(self, cluster: Cluster, load: Load, place: Path, seed: int) -> None:
        self.cluster, self.load, self.place = cluster, load, place
        self.random = random.Random(seed)
        self.said: list[str] = []
        self.failovers: list[float] = []

    def anybody(self) -> Machine:
        return self.random.choice(self.cluster.machines)

    def seconds_without_service(self) -> float:
        """How long it takes from now on until a trigger is acknowledged that is asked for from now on."""
        begun, history = time.monotonic(), self.load.history
        until(lambda: history.acknowledged_since(begun) is not None, "triggers are acknowledged")
        return (history.acknowledged_since(begun) or begun) - begun

    def last(self, least: float, most: float) -> None:
        """Things go on like this for a while."""
        time.sleep(self.random.uniform(least, most))


def kill_leader(scene: Scene) -> None:
    """Service is back in time, without it."""
    leader = scene.cluster.leader()
    killed_at = time.monotonic()
    leader.kill()
    took = time.monotonic() - killed_at + scene.seconds_without_service()
    scene.said.append(f"{leader.name}; acknowledged again after {took:.2f} s")
    scene.failovers.append(took)
    leader.start()


def kill_follower(scene: Scene) -> None:
    """Nobody notices."""
    follower = scene.random.choice(scene.cluster.followers())
    follower.kill()
    scene.said.append(follower.name)
    scene.last(0.0, 1.5)
    follower.start()


def stop_leader(scene: Scene) -> None:
    """It awakes as the leader that it no longer is."""
    leader = scene.cluster.leader()
    with leader.standing_still():
        awakes_at = time.monotonic() + STANDSTILL_SECONDS
        took = scene.seconds_without_service()
        scene.said.append(f"{leader.name}; acknowledged again after {took:.2f} s")
        time.sleep(max(0.0, awakes_at - time.monotonic()))


def stop_follower(scene: Scene) -> None:
    """It awakes behind."""
    follower = scene.random.choice(scene.cluster.followers())
    scene.said.append(follower.name)
    with follower.standing_still():
        time.sleep(STANDSTILL_SECONDS)


def transfer_leadership(scene: Scene) -> None:
    """It goes to whom it was given to."""
    leader, to = scene.cluster.leader(), scene.random.choice(scene.cluster.followers())
    status, said, _ = scene.anybody().ask("POST", "/cluster/transfer", {"To": to.name})
    assert status == 202, said
    scene.said.append(f"{leader.name} to {to.name}")
    until(lambda: scene.cluster.leader() is to, f"{to.name} leads", TRANSFER_SECONDS)


def restart_all(scene: Scene) -> None:
    """One after the other, as an upgrade does."""
    for machine in scene.cluster.machines:
        took = machine.stop()
        scene.said.append(f"{machine.name} stopped in {took:.2f} s")
        machine.start()
        scene.cluster.until_ready()


def lose_disk(scene: Scene) -> None:
    """It comes back with nothing, not even its identity."""
    machine = scene.anybody()
    scene.said.append(machine.name)
    machine.kill()
    set_aside(machine.directory, scene.place / LOST_DISKS)
    machine.start()


def cut_one_way(scene: Scene) -> None:
    """One does not hear the other, which hears it."""
    one, other = scene.random.sample(scene.cluster.machines, 2)
    scene.said.append(f"{one.name} is not heard by {other.name}; {scene.cluster.leader().name} led")
    scene.cluster.network.cut(one.name, other.name, Cut.SILENT)
    scene.last(1.5, 3.0)


def cut_both_ways(scene: Scene) -> None:
    """Two do not hear each other; the third hears both."""
    one, other = scene.random.sample(scene.cluster.machines, 2)
    how = scene.random.choice(list(Cut))
    scene.said.append(f"{one.name} and {other.name}, {how.value}; {scene.cluster.leader().name} led")
    scene.cluster.network.cut_both_ways(one.name, other.name, how)
    scene.last(1.5, 3.0)


def isolate(scene: Scene) -> None:
    """One hears nobody and is heard by nobody but clients."""
    machine = scene.cluster.leader() if scene.random.random() < 0.7 else scene.anybody()
    how = scene.random.choice(list(Cut))
    scene.said.append(f"{machine.name}, {how.value}; {scene.cluster.leader().name} led")
    scene.cluster.network.isolate(machine.name, how)
    scene.last(1.5, 3.0)


Fault = Callable[[Scene], None]

FAULTS: Final[Mapping[str, Fault]] = {
    "the leader is killed": kill_leader,
    "a follower is killed": kill_follower,
    "the leader stands still": stop_leader,
    "a follower stands still": stop_follower,
    "leadership is transferred": transfer_leadership,
    "all are restarted": restart_all,
    "a disk is lost": lose_disk,
    "a link is cut one way": cut_one_way,
    "a link is cut both ways": cut_both_ways,
    "a node is isolated": isolate,
}
