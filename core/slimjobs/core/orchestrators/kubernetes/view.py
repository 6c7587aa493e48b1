"""What is there now, put together from what is said about Jobs and about pods. Pure; `observing.py` feeds it.

Two watches know nothing of each other: a pod may be heard of before its Job, and a Job may be gone while its pods run
on. So an object is told of once its Job is known, and it is gone when that is gone and nothing runs of it any more.

An object whose end is certain changes no more, but to be deleted: what was told of it is all that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from slimjobs.core.orchestrators.kubernetes.phases import FINAL, SeenJob, SeenPod, observed, removed
from slimjobs.core.orchestrators.ports import Changed, Listed, ObservedJob, Vanished


class _Live(msgspec.Struct):
    """An object whose end is not certain yet, or of which something runs.

    `lost` is how many pods it had before the first of `pods`; that is known once all pods were listed.
    """

    job: SeenJob | None = None
    is_gone: bool = False
    pods: dict[str, SeenPod] = {}
    lost: int | None = None
    told: ObservedJob | None = None

    @property
    def runs(self) -> bool:
        return any(not pod.over for pod in self.pods.values())

    @property
    def knows_all_pods(self) -> bool:
        return self.job is not None and len(self.pods) + (self.lost or 0) >= self.job.pods.ever

    @property
    def lost_before(self) -> int:
        """How many pods there were that nobody saw."""
        over = sum(pod.over for pod in self.pods.values())
        return 0 if self.job is None else self.job.pods.lost(len(self.pods), over)

    def gone(self) -> None:
        """The Job is there no more."""
        self.is_gone = True
        if self.job is not None:
            self.job = msgspec.structs.replace(self.job, ending=True)


class View:
    """The objects by uid. It outlives a lost watch, so that no attempt gets another number for that."""

    def __init__(self) -> None:
        self._live: dict[str, _Live] = {}
        self._ended: dict[str, ObservedJob] = {}

    @property
    def live(self) -> int:
        """How many objects may still change."""
        return len(self._live)

    @property
    def ended(self) -> int:
        """How many objects are kept as what was told of them, and no more."""
        return len(self._ended)

    # Lists ----------------------------------------------------------------------------------------------------------

    def jobs_are(self, jobs: Iterable[SeenJob]) -> None:
        """These Jobs there are, and no others."""
        there: set[str] = set()
        for job in jobs:
            there.add(job.owner.uid)
            self.job_is(job)
        for uid in self._ended.keys() - there:
            del self._ended[uid]
        for uid in self._live.keys() - there:
            self._live[uid].gone()

    def pods_are(self, pods: Iterable[SeenPod], now_ms: int) -> None:
        """These pods there are, and no others."""
        there: set[str] = set()
        for pod in pods:
            there.add(pod.uid)
            self.pod_is(pod)
        for live in self._live.values():
            for missing in [pod for pod in live.pods.values() if not pod.over and pod.uid not in there]:
                live.pods[missing.uid] = removed(missing, now_ms)

    def listed(self) -> Listed:
        """All that there is, once both lists were taken in: Jobs, and those that are gone but still run."""
        for uid, live in list(self._live.items()):
            if live.job is None:
                live.gone()
            if live.is_gone and not live.runs:
                del self._live[uid]
                continue
            if live.lost is None:
                live.lost = live.lost_before
            self._tell(uid, live)
        told = (live.told for live in self._live.values())
        return Listed((*self._ended.values(), *(job for job in told if job is not None)))

    # Changes --------------------------------------------------------------------------------------------------------

    def job_is(self, job: SeenJob) -> Changed | None:
        """A Job appeared or changed."""
        uid = job.owner.uid
        if (ended := self._ended.get(uid)) is not None:
            if ended.ending == job.ending:
                return None
            self._ended[uid] = msgspec.structs.replace(ended, ending=job.ending)
            return Changed(self._ended[uid])
        live = self._live.setdefault(uid, _Live())
        live.job, live.is_gone = job, False
        return self._tell(uid, live)

    def job_is_gone(self, job: SeenJob) -> Changed | Vanished | None:
        """A Job was removed; this was the last of it."""
        uid = job.owner.uid
        if (ended := self._ended.pop(uid, None)) is not None:
            return Vanished(msgspec.structs.replace(ended, ending=True))
        live = self._live.setdefault(uid, _Live())
        live.job = job
        live.gone()
        return self._told_or_gone(uid, live)

    def pod_is(self, pod: SeenPod) -> Changed | Vanished | None:
        """A pod appeared or changed."""
        uid = pod.owner.uid
        if uid in self._ended:
            return None
        live = self._live.setdefault(uid, _Live())
        live.pods[pod.uid] = pod
        return self._told_or_gone(uid, live)

    def pod_is_gone(self, pod: SeenPod, now_ms: int) -> Changed | Vanished | None:
        """A pod was removed; this was the last of it."""
        uid = pod.owner.uid
        change = self.pod_is(removed(pod, now_ms))
        live = self._live.get(uid)
        if live is not None and live.job is None and not live.runs:
            del self._live[uid]
        return change

    def _told_or_gone(self, uid: str, live: _Live) -> Changed | Vanished | None:
        changed = self._tell(uid, live)
        if not live.is_gone or live.runs or live.told is None:
            return changed
        self._live.pop(uid, None)
        self._ended.pop(uid, None)
        return Vanished(live.told)

    def _tell(self, uid: str, live: _Live) -> Changed | None:
        """How the object is now, if that is news; what can change no more is kept as that alone."""
        before = live.told
        if live.job is None and not live.is_gone:
            return None
        told = observed(live.job, list(live.pods.values()), live.lost or 0)
        if before is not None and before.phase in FINAL:
            told = msgspec.structs.replace(told, phase=before.phase, reason=before.reason, detail=before.detail)
        live.told = told
        if told.phase in FINAL and live.knows_all_pods and not live.runs:
            del self._live[uid]
            self._ended[uid] = told
        return None if told == before else Changed(told)
