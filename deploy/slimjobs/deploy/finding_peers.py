"""Which peers a node has: those of SlimData__Peers; else, in a pod, those of its StatefulSet; else none.

A node that wrongly believes that it is alone founds a cluster of its own. So in a pod that looks like a StatefulSet's,
"alone" has to be said by the API server; as long as it says nothing, the node does not start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from slimjobs.core.configuration.place import SERVICE_ACCOUNT, find_place
from slimjobs.core.configuration.settings import Settings, contradictions
from slimjobs.core.configuration.stateful_set import StatefulSet, numbered, peers_of, why_no_peers
from slimjobs.core.orchestrators.kubernetes import Account, Patience, Unanswered, find_stateful_set
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.peering import RAFT_PORT

# Every container has it, also one without a service account's token.
IN_A_POD: Final = "KUBERNETES_SERVICE_HOST"

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs")


async def with_peers(
    settings: Settings,
    environment: Mapping[str, str],
    service_account: Path = SERVICE_ACCOUNT,
    patience: Patience | None = None,
) -> Settings:
    """These settings, with the peers of the StatefulSet if they name none and this is a pod of one.

    The pod's name is the node's; where SlimData__Name says something else, the host's is tried too. Raises `Ended` if
    the peers cannot be known, or if the settings do not fit to them.
    """
    if settings.peers or IN_A_POD not in environment:
        return settings
    place = find_place(environment, service_account)
    asking = _Asking(Account(service_account, environment), place.namespace, patience)
    for pod in dict.fromkeys((settings.node_name, place.host_name)):
        of = numbered(pod)
        stateful_set = None if of is None else await _stateful_set(of.name, settings, asking)
        if of is not None and stateful_set is not None:
            return _with_pods_of(stateful_set, of.ordinal, settings)
    _log.info("this node is alone: its pod is of no StatefulSet, and SlimData__Peers is not set")
    return settings


class _Asking(NamedTuple):
    account: Account
    namespace: str | None
    patience: Patience | None


async def _stateful_set(name: str, settings: Settings, asking: _Asking) -> StatefulSet | None:
    account, namespace, patience = asking
    if namespace is None:
        raise _unknown(settings, f"{account.directory / 'namespace'}, which names its namespace, cannot be read")
    try:
        return await find_stateful_set(account, namespace, name, patience)
    except Unanswered as error:
        raise _unknown(
            settings,
            f"the API server does not say whether there is a StatefulSet {name} in {namespace}: {error}",
            "Its service account needs the right to get statefulsets of the API group apps there (RBAC).",
        ) from None


def _with_pods_of(stateful_set: StatefulSet, ordinal: int, settings: Settings) -> Settings:
    if why := why_no_peers(stateful_set):
        raise _unknown(settings, why)
    if settings.raft_port == 0:
        raise _unknown(settings, "SlimData__Port is 0, any free port, which the other pods cannot know")
    peers = peers_of(stateful_set, ordinal, settings.raft_port or RAFT_PORT)
    found = dataclasses.replace(settings, peers=peers)
    if problems := [*contradictions(found)]:
        raise Ended(Exit.USAGE, *problems, f"The peers are the pods of the StatefulSet {stateful_set.name}.")
    _log.info("the peers are the pods of a StatefulSet", name=stateful_set.name, peers=[peer.name for peer in peers])
    return found


def _unknown(settings: Settings, reason: str, *advice: str) -> Ended:
    return Ended(
        Exit.USAGE,
        f"SlimData__Peers is not set, and the peers of {settings.node_name} are not known: {reason}",
        *advice,
        f"Or set SlimData__Peers; {settings.node_name}=127.0.0.1:{RAFT_PORT} is this node alone. Nothing was started.",
    )
