"""Every version of every Job and pod of a namespace, in the order in which the API server made them; and what must hold
of them whatever happened to the nodes. Nothing here asks a node how it was.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

from tests.cluster.control_plane import ControlPlane
from tests.deploy.nodes import until

COLLECTIONS: Final[Mapping[str, str]] = {"Job": "/apis/batch/v1", "Pod": "/api/v1"}
PAUSE_SECONDS: Final = 0.1
SILENCE_SECONDS: Final = 5.0
OVER: Final = ("Succeeded", "Failed")
RUN: Final = "slimfaas-job-element-id"
JOB: Final = "slimfaas-job-name"
CLUSTER: Final = "slimfaas-cluster"


class Version(NamedTuple):
    """An object as it was at a revision; those of all kinds are counted in one. `change`: ADDED, MODIFIED, DELETED."""

    revision: int
    kind: str
    change: str
    object: Mapping[str, Any]

    @property
    def uid(self) -> str:
        return str(self.object["metadata"]["uid"])

    def label(self, name: str) -> str:
        return str(self.object["metadata"].get("labels", {}).get(name, ""))

    @property
    def is_released(self) -> bool:
        return self.kind == "Job" and not self.object["spec"].get("suspend", False)

    @property
    def lives(self) -> bool:
        """Whether something of a pod may run."""
        return self.change != "DELETED" and self.object["status"].get("phase") not in OVER


class Recorder:
    """What happened in a namespace, as an administrator sees it."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        self._namespace = namespace
        self._lock = threading.Lock()
        self._versions: dict[tuple[int, str], Version] = {}
        self._ended = threading.Event()
        self._connections: set[http.client.HTTPSConnection] = set()
        self._threads = [threading.Thread(target=self._watch, args=(kind,), daemon=True) for kind in COLLECTIONS]

    def versions(self) -> list[Version]:
        """Everything until now, oldest first."""
        with self._lock:
            return [self._versions[key] for key in sorted(self._versions)]

    def revision(self) -> int:
        """The newest revision there is."""
        return int(self._plane.api("admin").get(self._path("Job")).body["metadata"]["resourceVersion"])

    def until_even(self) -> list[Version]:
        """Everything, once everything that there is now has been recorded."""
        until(self._has_all, "everything is recorded")
        return self.versions()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for connection in list(self._connections):
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(2 * SILENCE_SECONDS)

    def _path(self, kind: str) -> str:
        return f"{COLLECTIONS[kind]}/namespaces/{self._namespace}/{kind.lower()}s"

    def _has_all(self) -> bool:
        seen = {each.revision for each in self.versions()}
        listed = [each for kind in COLLECTIONS for each in self._plane.api("admin").get(self._path(kind)).body["items"]]
        return all(int(each["metadata"]["resourceVersion"]) in seen for each in listed)

    # In threads -----------------------------------------------------------------------------------------------------

    def _watch(self, kind: str) -> None:
        since = "0"
        while not self._ended.is_set():
            try:
                for line in self._lines(f"{self._path(kind)}?watch=1&resourceVersion={since}"):
                    event = json.loads(line)
                    if event["type"] == "ERROR":  # an API server that was just started remembers nothing
                        since = self._list(kind)
                        break
                    since = self._record(kind, event["type"], event["object"])
            except (OSError, http.client.HTTPException):
                self._ended.wait(PAUSE_SECONDS)

    def _lines(self, path: str) -> Iterator[bytes]:
        place = self._plane.place
        trust = ssl.create_default_context(cafile=place.certificate)
        connection = http.client.HTTPSConnection("127.0.0.1", place.api_port, timeout=SILENCE_SECONDS, context=trust)
        self._connections.add(connection)
        try:
            connection.request("GET", path, headers={"Authorization": "Bearer admin"})
            response = connection.getresponse()
            while not self._ended.is_set() and (line := response.readline()):
                yield line
        finally:
            self._connections.discard(connection)
            connection.close()

    def _list(self, kind: str) -> str:
        """What there is now, and what is not there any more; the revision from which on changes are told."""
        listed = self._plane.api("admin").get(self._path(kind)).body
        there = {each["metadata"]["uid"] for each in listed["items"]}
        newest: str = listed["metadata"]["resourceVersion"]
        last = {each.uid: each for each in self.versions() if each.kind == kind}
        for uid, version in last.items():
            if uid not in there and version.change != "DELETED":
                self._add(version._replace(revision=int(newest), change="DELETED"))
        for each in listed["items"]:
            self._record(kind, "MODIFIED" if each["metadata"]["uid"] in last else "ADDED", each)
        return newest

    def _record(self, kind: str, change: str, item: Mapping[str, Any]) -> str:
        revision: str = item["metadata"]["resourceVersion"]
        self._add(Version(int(revision), kind, change, item))
        return revision

    def _add(self, version: Version) -> None:
        with self._lock:
            self._versions.setdefault((version.revision, version.uid), version)


@contextmanager
def recording(plane: ControlPlane, namespace: str) -> Iterator[Recorder]:
    """Record what happens while the block runs."""
    recorder = Recorder(plane, namespace)
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.end()


# What must hold -------------------------------------------------------------------------------------------------------


def judge(versions: list[Version], cluster: str, caps: Mapping[str, int], deleted: Mapping[str, int]) -> None:
    """Fail where something was done that may never be. `deleted`: runs, and the revision when that was acknowledged."""
    ours = [each for each in versions if each.label(CLUSTER) == cluster]
    _at_most_one_job_of_a_run_is_released(ours)
    _nothing_starts_after_an_acknowledged_delete(ours, deleted)
    _pods_are_never_more_than_the_cap(ours, caps)
    _nobody_elses_job_is_touched([each for each in versions if each.kind == "Job" and each.label(CLUSTER) != cluster])


def _at_most_one_job_of_a_run_is_released(ours: list[Version]) -> None:
    released: dict[str, set[str]] = defaultdict(set)
    for each in ours:
        if each.is_released:
            released[each.label(RUN)].add(each.uid)
    several = {run: uids for run, uids in released.items() if len(uids) > 1}
    assert not several, f"more than one Job was released: {several}"


def _nothing_starts_after_an_acknowledged_delete(ours: list[Version], deleted: Mapping[str, int]) -> None:
    begun: dict[str, Version] = {}
    for each in ours:
        if each.kind == "Pod" or each.is_released:
            begun.setdefault(each.uid, each)
    late = [each for each in begun.values() if each.revision > deleted.get(each.label(RUN), each.revision)]
    assert not late, f"it was begun after its deletion: {late}"


def _pods_are_never_more_than_the_cap(ours: list[Version], caps: Mapping[str, int]) -> None:
    living: dict[str, set[str]] = defaultdict(set)
    for each in ours:
        if each.kind == "Pod":
            pods = living[each.label(JOB)]
            (pods.add if each.lives else pods.discard)(each.uid)
            assert len(pods) <= caps[each.label(JOB)], f"more pods than the cap of {each.label(JOB)} at {each.revision}"


def _nobody_elses_job_is_touched(foreign: list[Version]) -> None:
    """What a Job is meant to be: its status is written by Kubernetes."""
    first: dict[str, object] = {}
    for each in foreign:
        metadata = each.object["metadata"]
        meant = (each.object["spec"], metadata.get("labels"), metadata.get("annotations"), metadata.get("finalizers"))
        assert first.setdefault(each.uid, meant) == meant, f"a Job of somebody else was changed: {each}"
        assert each.change != "DELETED", f"a Job of somebody else was deleted: {each}"


def outcomes(versions: list[Version], cluster: str) -> Mapping[str, str]:
    """How runs ended, by run, as far as the API server ever said so."""
    found: dict[str, str] = {}
    for each in versions:
        if each.label(CLUSTER) != cluster or each.kind != "Job":
            continue
        for condition in each.object["status"].get("conditions", ()):
            if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
                found[each.label(RUN)] = "Succeeded" if condition["type"] == "Complete" else "Failed"
    return found
