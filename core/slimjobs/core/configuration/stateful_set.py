"""The peers of a node in a pod of a StatefulSet, from what the StatefulSet says (design §4).

Pure: `orchestrators/kubernetes/` asks the API server, the command line puts both together. Pods of a StatefulSet are
named after it and numbered, and its headless service gives each a DNS name that stays (Kubernetes, "StatefulSets").
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from slimjobs.core.configuration.setting_kinds import Peer

# Where a name has a part drawn by chance, it is drawn from these: no vowels, and no digits that look like one.
_DRAWN: Final = "[bcdfghjklmnpqrstvwxz2456789]"
_OF_DEPLOYMENT: Final = re.compile(rf".+-{_DRAWN}{{1,10}}-{_DRAWN}{{5}}")
_NUMBERED: Final = re.compile(r"(?P<of>.+)-(?P<ordinal>0|[1-9][0-9]{0,8})")


class StatefulSet(msgspec.Struct, frozen=True):
    """What a StatefulSet says of its pods: their headless service, how many there are, and the first one's ordinal."""

    name: str
    namespace: str
    service: str
    replicas: int
    first: int = 0


class Numbered(NamedTuple):
    """Whose pod one of this name would be: the StatefulSet's name, and the pod's ordinal."""

    name: str
    ordinal: int


def numbered(pod: str) -> Numbered | None:
    """The StatefulSet that a pod of this name could be of; None if it is surely of none.

    One pod of a Deployment in five hundred ends in five digits; it is known by the hash before them.
    """
    match = None if _OF_DEPLOYMENT.fullmatch(pod) else _NUMBERED.fullmatch(pod)
    return None if match is None else Numbered(match["of"], int(match["ordinal"]))


def why_no_peers(stateful_set: StatefulSet) -> str:
    """Why peers cannot be named; empty if they can."""
    if not stateful_set.service:
        return f"the StatefulSet {stateful_set.name} has no serviceName, so its pods have no names that stay"
    if stateful_set.replicas < 1:
        # Alone among no replicas, the first pod would found a cluster of its own if its disk were empty.
        return f"the StatefulSet {stateful_set.name} has 0 replicas, so this pod is about to be removed"
    return ""


def peers_of(stateful_set: StatefulSet, ordinal: int, port: int) -> tuple[Peer, ...]:
    """All nodes that there should be, as the pod of this ordinal sees it; that pod is always among them.

    A pod beyond the replicas is one that is being removed, the highest first. It counts with all below it, as it did
    before: so it is never the lowest, which may found; it waits for the same majority; and if it leads, it drops none
    of those that are there as long as itself. Those within the replicas count without it, and drop it when it is gone.
    """
    first = min(stateful_set.first, ordinal)
    end = max(stateful_set.first + stateful_set.replicas, ordinal + 1)
    domain = f"{stateful_set.service}.{stateful_set.namespace}.svc"
    names = (f"{stateful_set.name}-{each}" for each in range(first, end))
    return tuple(Peer(name, f"{name}.{domain}", port) for name in names)
