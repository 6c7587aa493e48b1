"""A node that is killed again and again, at random moments, while sixteen clients trigger and two watch.

What a client was told must hold for ever, whatever happened around it. SLIMJOBS_SOAK in the environment makes it a
hundred deaths instead of ten; SLIMJOBS_SEED repeats the moments of a run that failed.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.deploy.nodes import Node, configuration, node, slimjobs, until

ROUNDS: Final = 100 if os.environ.get("SLIMJOBS_SOAK") else 10
SEED: Final = int(os.environ.get("SLIMJOBS_SEED") or secrets.randbits(32))
CLIENTS: Final = 16
WATCHERS: Final = 2
CAPS: Final[Mapping[str, int]] = {"wide": 3, "narrow": 1}
NOBODY: Final = 1  # a port where no node is, for who asks in the very moment of a death
ENDED: Final = ("Succeeded", "Failed")

# Writes to the file of its own run, named by the run: what it was asked for, when it begins and when it ends. The lock
# is the kernel's: it is gone with the process, however that ends.
JOB: Final = """
import fcntl, os, sys, time
path = os.path.join(os.environ["PLACE"], os.environ["SLIMFAAS_JOB_ID"])
file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
def say(word):
    os.write(file, f"{word} {sys.argv[1]} {os.getpid()}\\n".encode())
try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    say("overlaps")
    sys.exit()
say("begins")
time.sleep(0.03)
say("ends")
"""


def say(line: str) -> None:
    """For whoever reads why the test failed, or what it did."""
    sys.stdout.write(f"{line}\n")


class Scene:
    """What clients and watchers share: where the node is now, and what they were told."""

    def __init__(self) -> None:
        self.port: int | None = None
        self.over = threading.Event()
        self.abandoned = False  # the test has failed elsewhere: whoever still asks is to stop
        self.accepted: dict[Asking, str] = {}  # the run's id
        self.unknown: set[Asking] = set()  # without a key, and the connection broke before the answer
        self.listings = 0


class Asking(msgspec.Struct, frozen=True):
    """Something a client wants to have run, once: what for, and the key that makes asking again safe."""

    job: str
    token: str
    keyed: bool


class Caller:
    """A keep-alive connection to wherever the node is, made again when it broke."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._connection: http.client.HTTPConnection | None = None

    def ask(
        self, method: str, path: str, body: object, headers: Mapping[str, str]
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, body and headers of the answer. Raises OSError or HTTPException when the connection breaks."""
        assert not self._scene.abandoned
        if self._connection is None:
            until(lambda: self._scene.port is not None or self._scene.abandoned, "a node is there", 120)
            self._connection = http.client.HTTPConnection("127.0.0.1", self._scene.port or NOBODY, timeout=20)
        try:
            self._connection.request(
                method, path, json.dumps(body).encode() if body is not None else None, dict(headers)
            )
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read()), dict(answer.getheaders())
        except (OSError, http.client.HTTPException):
            self.leave()
            raise

    def leave(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def trigger_until_over(scene: Scene, number: int) -> None:
    """A client: one run after the other, every second one with a key that it also repeats after a reconnect."""
    caller, mine = Caller(scene), random.Random(SEED + number)
    while not scene.over.is_set():
        token = f"{number}-{len(scene.accepted)}-{mine.getrandbits(40)}"
        asking = Asking(mine.choice(list(CAPS)), token, keyed=mine.random() < 0.5)
        accepted = trigger(scene, caller, asking)
        if accepted and asking.keyed and mine.random() < 0.3:
            caller.leave()
            repeat(scene, caller, asking)
        time.sleep(mine.uniform(0.1, 0.4))
    caller.leave()


def trigger(scene: Scene, caller: Caller, asking: Asking) -> bool:
    """Ask until it is accepted; without a key, once only: who does not know whether it was may not ask again."""
    while True:
        try:
            status, body, _ = send(caller, asking)
        except (OSError, http.client.HTTPException):
            if not asking.keyed:
                scene.unknown.add(asking)
                return False
        else:
            assert status in (202, 503), (status, body)
            if status == 202:
                scene.accepted[asking] = body["Id"]
                return True
        time.sleep(0.05)


def repeat(scene: Scene, caller: Caller, asking: Asking) -> None:
    """Ask again with the same key: the first answer again, and nothing new."""
    while True:
        try:
            status, body, headers = send(caller, asking)
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            continue
        if status != 503:
            assert (status, body["Id"]) == (202, scene.accepted[asking])
            assert headers["idempotent-replayed"] == "true"
            return


def send(caller: Caller, asking: Asking) -> tuple[int, Any, Mapping[str, str]]:
    headers = {"Idempotency-Key": asking.token} if asking.keyed else {}
    return caller.ask("POST", f"/job/{asking.job}", {"Args": [asking.token]}, headers)


def watch_until_over(scene: Scene) -> None:
    """A watcher: every listing that it gets must be right in itself."""
    caller = Caller(scene)
    while not scene.over.is_set():
        for job, cap in CAPS.items():
            try:
                status, rows, _ = caller.ask("GET", f"/job/{job}", None, {})
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if status == 200:
                check_listing(rows, cap)
                scene.listings += 1
            else:
                assert status == 503, (status, rows)
        time.sleep(0.02)
    caller.leave()


def check_listing(rows: list[Mapping[str, Any]], cap: int) -> None:
    waiting = [row["PositionInQueue"] for row in rows if row["Status"] == "Queued"]
    assert [row["PositionInQueue"] for row in rows] == [*range(1, len(waiting) + 1), *[-1] * (len(rows) - len(waiting))]
    assert waiting == list(range(1, len(waiting) + 1))
    occupied = [row for row in rows if row["Status"] not in ("Queued", *ENDED)]
    assert len(occupied) <= cap, occupied
    assert len({row["Id"] for row in rows}) == len(rows)


def live_and_die(scene: Scene, directory: Path, settings: Mapping[str, str]) -> None:
    """The rounds: a life and its end at a random moment, during the start too, before anybody is answered."""
    moments = random.Random(SEED)
    for number in range(ROUNDS):
        early, seconds = moments.random() < 0.3, moments.uniform(0.0, 0.8)
        say(f"round {number}: killed {seconds:.3f} s after it {'started' if early else 'was ready'}")
        with node(directory, **settings) as running:
            if not early:
                scene.port = running.port
            time.sleep(seconds)
            scene.port = None


def all_rows(running: Node, job: str) -> Iterator[Mapping[str, Any]]:
    """Every run of a job, page by page."""
    path: str | None = f"/job/{job}"
    while path is not None:
        answer = running.client.request("GET", path)
        yield from answer.body
        link = answer.headers.get("link", "")
        path = link[1 : link.index(">")] if link else None


def all_ended(running: Node) -> bool:
    return all(row["Status"] in ENDED for job in CAPS for row in running.client.request("GET", f"/job/{job}").body)


def test_what_was_acknowledged_outlives_every_death_and_nothing_runs_twice_at_once(tmp_path: Path) -> None:
    say(f"SLIMJOBS_SEED={SEED}")
    place, directory, scene = tmp_path / "runs", tmp_path / "data", Scene()
    place.mkdir()
    job = {
        "Command": [sys.executable, "-I", "-S", "-c", JOB],
        "Environments": [{"name": "PLACE", "value": str(place)}],
        "BackoffLimit": 1000,
        "TtlSecondsAfterFinished": 3600,
    }
    settings = {
        "SlimFaas__JobsConfiguration": configuration(
            {name: {**job, "NumberParallelJob": cap} for name, cap in CAPS.items()}
        ),
        "SlimFaas__BackoffSeconds": "0.01",
        "SlimFaas__MaxFinishedJobs": "1000000",
        "SlimFaas__MaxIdempotencyKeys": "1000000",
        "SlimData__SnapshotIntervalEntries": "200",
    }
    with ThreadPoolExecutor(CLIENTS + WATCHERS) as threads:
        others = [threads.submit(trigger_until_over, scene, number) for number in range(CLIENTS)]
        others += [threads.submit(watch_until_over, scene) for _ in range(WATCHERS)]
        try:
            live_and_die(scene, directory, settings)
            with node(directory, **settings) as running:
                scene.port = running.port
                time.sleep(0.5)
                scene.over.set()
                for other in others:
                    other.result()
                until(lambda: all_ended(running), "every run has ended", 60 + ROUNDS)
                rows = [row for job in CAPS for row in all_rows(running, job)]
                assert running.stop() == 0
        finally:
            scene.over.set()
            scene.abandoned = True

    listed = Counter(row["Id"] for row in rows)
    assert set(listed.values()) == {1}
    assert {row["Status"] for row in rows} == {"Succeeded"}
    assert set(scene.accepted.values()) <= set(listed)
    assert len(set(scene.accepted.values())) == len(scene.accepted)

    lines = [(file.name, *line.split()) for file in place.iterdir() for line in file.read_text().splitlines()]
    words = Counter(word for _, word, _, _ in lines)
    runs_of = {token: {run for run, _, of, _ in lines if of == token} for token in {of for _, _, of, _ in lines}}
    assert words["overlaps"] == 0
    assert {run for run, word, _, _ in lines if word == "ends"} == set(listed)
    assert {asking.token: {run} for asking, run in scene.accepted.items()}.items() <= runs_of.items()
    assert set(runs_of) - {asking.token for asking in scene.accepted} <= {asking.token for asking in scene.unknown}
    assert {len(runs) for runs in runs_of.values()} == {1}

    say(f"{len(listed)} runs, {len(scene.unknown)} of unknown outcome, {words['begins']} attempts")
    say(f"{scene.listings} listings")
    assert len(scene.accepted) > ROUNDS
    assert scene.listings > ROUNDS
    assert slimjobs("log", "verify", "--directory", str(directory)).returncode == 0
