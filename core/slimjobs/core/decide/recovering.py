"""One survivor becomes a cluster of its own: what has to be in its log for that.

The others may still live somewhere, and the jobs that they started with them. So the new cluster has another id, gives
up every object of the old one, and takes none of its nodes in but with empty directories (design §4).
"""

from __future__ import annotations

from slimjobs.eventlog.events.cluster import ClusterFounded, MemberDropped, MemberNamed
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import RunFailed, RunGone
from slimjobs.eventlog.raft.types import NodeId
from slimjobs.projections.state import State

REASON = "ClusterRecovered"

_DETAIL = "the cluster was recovered from one node; whatever ran of it belongs to the cluster of before"


def recover(state: State, cluster: str, name: str, node: NodeId) -> tuple[Event, ...]:
    """The events that make this node the only member of a new cluster; what is queued stays queued."""
    return (
        *(RunFailed(run, REASON, _DETAIL) for run in state.active),
        *(RunGone(run) for run in state.deleted),
        *(MemberDropped(member) for member in state.members if member != name),
        ClusterFounded(cluster),
        MemberNamed(name, node),
    )
