"""The routes of the cluster, in the table: for internal callers only."""

from __future__ import annotations

from typing import Final

from slimjobs.core.backups.document import Head, checksum
from slimjobs.core.decide.refusals import NotPossible
from slimjobs.core.machine.queries import MemberRow
from slimjobs.http.openapi.common import AT, READ, WRITE
from slimjobs.http.openapi.parameters import CONSISTENCY, NODE
from slimjobs.http.openapi.parts import JSON_TYPE, Body, Route, Shown
from slimjobs.http.openapi.wire import MemberRemoved, SchedulesRestored, TransferAsked, TransferTold
from slimjobs.http.rendering import ClusterJson

MEMBERS: Final = ClusterJson(
    "c1",
    "a",
    3,
    [MemberRow("a", "a.jobs:3262", "leader", True, 7, 7, 0, 0, "0.1.0", 5, "c0ffee")],
    "a",
)
BACKUP: Final = Head(1, "c1", 7, AT, checksum([]), [])

CLUSTER: Final = (
    Route(
        "GET",
        "/cluster",
        "showCluster",
        "Show the members, who leads, and how far each is",
        "cluster",
        (Shown(200, "As the leader sees it.", {JSON_TYPE: (ClusterJson, MEMBERS)}),),
        READ,
        (CONSISTENCY,),
    ),
    Route(
        "POST",
        "/cluster/transfer",
        "transferLeadership",
        "Let another node lead",
        "cluster",
        (Shown(202, "It has been told to lead.", {JSON_TYPE: (TransferTold, TransferTold("b"))}),),
        (*WRITE, NotPossible),
        body=Body({JSON_TYPE: (TransferAsked, {"To": "b"})}),
    ),
    Route(
        "POST",
        "/cluster/restore",
        "restoreSchedules",
        "Bring schedules of a backup in force that are not",
        "cluster",
        (Shown(200, "They are in force.", {JSON_TYPE: (SchedulesRestored, SchedulesRestored(3, 1))}),),
        WRITE,
        body=Body({JSON_TYPE: (Head, BACKUP)}, required=True),
        description="The body is the document of a backup, as `slimjobs backup` writes it.",
    ),
    Route(
        "DELETE",
        "/cluster/members/{name}",
        "removeMember",
        "Remove a node from the cluster",
        "cluster",
        (Shown(200, "It belongs to the cluster no more.", {JSON_TYPE: (MemberRemoved, MemberRemoved("c"))}),),
        (*WRITE, NotPossible),
        (NODE,),
    ),
)
