"""What was last seen of the orchestrator's objects, by run. Lists are trusted about absence only as far as they can be.

A list answers for the moment at which it was begun. An object that was created after that moment may be missing in it;
so what appeared since the list was begun is kept whatever the list says.
"""

from __future__ import annotations

from collections.abc import Callable

from slimjobs.core.decide.observing import Seen
from slimjobs.core.orchestrators.ports import Changed, Listed, Observation, ObservedJob, Unobserved, Vanished
from slimjobs.eventlog.events.runs import RunId

_NOT_SEEN = Seen(None, gone=False)


class Mirror:
    """The objects of this cluster, since this node leads. `listed`: there was a list, so what is not here is new."""

    def __init__(self) -> None:
        self.listed = False
        self.trouble = ""
        self._seen: dict[RunId, Seen] = {}
        self._since_list_began: set[RunId] = set()

    def seen(self, run: RunId) -> Seen:
        """The last that was seen of a run's object."""
        return self._seen.get(run, _NOT_SEEN)

    def observe(self, cluster: str, observation: Observation, bound: Callable[[], set[RunId]]) -> list[RunId]:
        """Take an observation in; gives the runs that are worth a look. `bound` are those that must have an object."""
        match observation:
            case Unobserved(detail):
                self.trouble = detail
                self._since_list_began.clear()
                return []
            case Listed(jobs):
                return self._listed([job for job in jobs if job.cluster == cluster], bound())
            case Changed(job) if job.cluster == cluster:
                self.appeared(job)
                return [job.run]
            case Vanished(job) if job.cluster == cluster:
                return self._vanished(job)
        return []

    def appeared(self, job: ObservedJob) -> None:
        """An object was seen."""
        self._seen[job.run] = Seen(job, gone=False)
        self._since_list_began.add(job.run)

    def answered(self, job: ObservedJob) -> None:
        """An object was named in the answer to a request: as it was then, which the watch may know better by now."""
        before = self.seen(job.run).job
        if before is None or before.uid != job.uid:
            self.appeared(job)

    def missing(self, run: RunId) -> None:
        """A request was answered that there is no such object; what was seen of it before tells how it ended."""
        self._seen[run] = Seen(self.seen(run).job, gone=True)

    def forget(self, run: RunId) -> None:
        """Nothing is wanted of this run any more, and its object is gone."""
        self._seen.pop(run, None)
        self._since_list_began.discard(run)

    def _vanished(self, job: ObservedJob) -> list[RunId]:
        before = self.seen(job.run).job
        if before is not None and before.uid != job.uid:
            return []
        self._seen[job.run] = Seen(job, gone=True)
        return [job.run]

    def _listed(self, jobs: list[ObservedJob], bound: set[RunId]) -> list[RunId]:
        listed = {job.run: Seen(job, gone=False) for job in jobs}
        for run in (self._seen.keys() | bound) - listed.keys():
            if run in self._since_list_began:
                listed[run] = self.seen(run)
            elif run in bound:
                listed[run] = Seen(self.seen(run).job, gone=True)
        worth_a_look = self._seen.keys() | listed.keys()
        self._seen = listed
        self.listed, self.trouble = True, ""
        return sorted(worth_a_look)
