"""Clients: each triggers, reads and deletes, at whichever node it picks, and writes down what it was told."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Final

from tests.deploy.cluster.history import ROWS, Accepted, Answered, Asking, Deleted, History, Listed, Shown, Unknown
from tests.deploy.cluster.wires import LOOPBACK

CLIENTS: Final = 32
ANSWER_SECONDS: Final = 20.0
AGAIN_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 60.0
"""Longer than any fault lasts: whoever has to ask again for so long has been forgotten."""

SURELY_NOT_DONE: Final = 503
UNKNOWN: Final = 504


class Lost(Exception):
    """The connection ended before the answer."""


class Load:
    """All clients. `over`: they finish what they are at, which means that they ask until they know."""

    def __init__(self, ports: Sequence[int], jobs: Sequence[str], seed: int, think_seconds: float) -> None:
        self.history = History()
        self.over = threading.Event()
        self.abandoned = threading.Event()
        self.jobs, self.think_seconds = jobs, think_seconds
        self._clients = [Client(self, ports, number, seed) for number in range(CLIENTS)]
        self._running: list[Future[None]] = []

    @contextmanager
    def running(self) -> Iterator[Load]:
        """They run meanwhile."""
        with ThreadPoolExecutor(CLIENTS) as threads:
            self._running = [threads.submit(client.run) for client in self._clients]
            try:
                yield self
            except BaseException:
                self.abandoned.set()
                raise
            finally:
                self.over.set()

    def finish(self) -> None:
        """Return when all know what became of what they asked for."""
        self.over.set()
        for client in self._running:
            client.result(PATIENCE_SECONDS)

    def check(self) -> None:
        """If one was told what it must not be told, say so now."""
        for client in self._running:
            if client.done():
                client.result()


class Client:
    """One of them, with a connection to each node."""

    def __init__(self, load: Load, ports: Sequence[int], number: int, seed: int) -> None:
        self._load, self._ports, self._number = load, ports, number
        self._random = random.Random(seed * 1000 + number)
        self._connections: dict[int, http.client.HTTPConnection] = {}
        self._tokens = 0
        self._known: list[tuple[str, str]] = []
        self._deleted: set[str] = set()

    def run(self) -> None:
        """One thing after the other until it is over."""
        deeds = (self._trigger, self._trigger, self._trigger, self._list, self._show, self._show, self._delete)
        while not self._load.over.is_set():
            self._random.choice(deeds)()
            time.sleep(self._random.uniform(0.5, 1.5) * self._load.think_seconds)
        for connection in self._connections.values():
            connection.close()

    # Asking ---------------------------------------------------------------------------------------------------------

    def _ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, Answered]:
        """Ask a node of its choice. Raises `Lost`."""
        node = self._random.randrange(len(self._ports))
        connection = self._connections.get(node)
        if connection is None:
            connection = http.client.HTTPConnection(LOOPBACK, self._ports[node], timeout=ANSWER_SECONDS)
            self._connections[node] = connection
        content = None if body is None else json.dumps(body).encode()
        begun = time.monotonic()
        try:
            connection.request(method, path, content, dict(headers or {}))
            answer = connection.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            self._connections.pop(node).close()
            raise Lost from None
        index = int(answer.headers.get("X-SlimFaas-Index", -1))
        return answer.status, said, Answered(node, begun, time.monotonic(), index)

    def _again(self) -> Iterator[None]:
        """Turns, with a pause between them, for as long as anybody may have to ask again."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._load.abandoned.is_set():
            yield
            assert time.monotonic() < deadline, f"client {self._number} has asked in vain for {PATIENCE_SECONDS} s"
            time.sleep(AGAIN_SECONDS)

    # Triggers -------------------------------------------------------------------------------------------------------

    def _trigger(self) -> None:
        asking = self._asking()
        for _ in self._again():
            try:
                status, said, answered = self._send(asking)
            except Lost:
                if not asking.key:
                    self._load.history.add(Unknown(asking, ()))
                    return
                continue
            if status == 202:
                self._accepted(Accepted(asking, ids_of(said), answered))
                return
            if status == UNKNOWN and not asking.key:
                self._load.history.add(Unknown(asking, ids_of(said)))
                return
            if status == SURELY_NOT_DONE and not asking.key:
                self._load.history.surely_not.append(asking)
                asking = self._asking()
            assert status in (SURELY_NOT_DONE, UNKNOWN), (status, said)

    def _asking(self) -> Asking:
        count = 3 if self._random.random() < 0.1 else 1
        tokens = tuple(f"{self._number}-{self._tokens + each}" for each in range(count))
        self._tokens += count
        key = f"key-{tokens[0]}" if self._random.random() < 0.8 else ""
        return Asking(self._random.choice(self._load.jobs), tokens, key)

    def _send(self, asking: Asking) -> tuple[int, Any, Answered]:
        headers = {"Idempotency-Key": asking.key} if asking.key else {}
        if len(asking.tokens) == 1:
            return self._ask("POST", f"/job/{asking.job}", {"Args": list(asking.tokens)}, headers)
        batch = [{"Name": asking.job, "Args": [token]} for token in asking.tokens]
        return self._ask("POST", "/jobs", batch, headers)

    def _accepted(self, accepted: Accepted) -> None:
        self._load.history.add(accepted)
        self._known += [(accepted.asking.job, each) for each in accepted.ids]
        if accepted.asking.key and self._random.random() < 0.2:
            self._repeat(accepted)

    def _repeat(self, accepted: Accepted) -> None:
        """The same key again: the same answer again."""
        for _ in self._again():
            with suppress(Lost):
                status, said, answered = self._send(accepted.asking)
                if status == 202:
                    assert ids_of(said) == accepted.ids, (accepted, said)
                    self._load.history.repeated.append(Accepted(accepted.asking, accepted.ids, answered))
                    return
                assert status in (SURELY_NOT_DONE, UNKNOWN), (status, said)

    # Reads ----------------------------------------------------------------------------------------------------------

    def _list(self) -> None:
        job = self._random.choice(self._load.jobs)
        with suppress(Lost):
            status, said, answered = self._ask("GET", f"/job/{job}?limit={ROWS}")
            if status == 200:
                rows = tuple((row["Id"], row["Status"]) for row in said)
                self._load.history.add(Listed(job, rows, answered))
            else:
                assert status == SURELY_NOT_DONE, (status, said)

    def _show(self) -> None:
        if not self._known:
            return
        job, run = self._random.choice(self._known)
        wait = "?wait=1" if self._random.random() < 0.1 else ""
        with suppress(Lost):
            status, said, answered = self._ask("GET", f"/job/{job}/{run}{wait}")
            if status == 200:
                self._load.history.add(Shown(job, run, said["Status"], answered))
            elif status == 404:
                assert run in self._deleted, said
                self._load.history.add(Shown(job, run, None, answered))
            else:
                assert status == SURELY_NOT_DONE, (status, said)

    # Deletions ------------------------------------------------------------------------------------------------------

    def _delete(self) -> None:
        left = [each for each in self._known if each[1] not in self._deleted]
        if not left or self._random.random() < 0.5:
            return
        job, run = self._random.choice(left)
        maybe = False
        for _ in self._again():
            try:
                status, said, answered = self._ask("DELETE", f"/job/{job}/{run}")
            except Lost:
                maybe = True
                continue
            if status in (200, 202, 404):
                assert maybe or status != 404, said
                self._deleted.add(run)
                self._load.history.add(Deleted(job, run, answered, status == 404))
                return
            assert status in (SURELY_NOT_DONE, UNKNOWN), (status, said)
            maybe = maybe or status == UNKNOWN


def ids_of(said: Any) -> tuple[str, ...]:
    """The ids in an answer to a trigger, a batch, or an unknown outcome of either."""
    if isinstance(said, list):
        return tuple(each["Id"] for each in said)
    return tuple(said["Ids"]) if "Ids" in said else (said["Id"],)
