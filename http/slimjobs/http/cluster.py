"""The routes of the cluster: who belongs to it and how far each is; hand over leadership; remove a member.

Names and addresses of nodes are an operator's business: external callers get 403 whatever they ask here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
import trio

from slimjobs.core.backups.document import UnusableBackup, read, read_head
from slimjobs.core.configuration.setting_kinds import NODE_NAME
from slimjobs.core.decide.commands import (
    Removed,
    RemoveMember,
    RestoreBackup,
    Restored,
    TransferLeadership,
    Transferred,
)
from slimjobs.core.decide.refusals import Forbidden, Invalid, OutcomeUnknown, Problem
from slimjobs.core.machine.queries import ClusterView, ShowCluster
from slimjobs.core.node.service import Reply
from slimjobs.http.answers import Answer, json_answer
from slimjobs.http.bodies import BadBody, not_a_node, read_transfer
from slimjobs.http.parameters import Parameters
from slimjobs.http.problems import KINDS, problem
from slimjobs.http.rendering import cluster_json
from slimjobs.http.surface import Asked, BadRequest, Surface
from slimjobs.projections.backups import Backup


async def show_cluster(surface: Surface, asked: Asked, given: Mapping[str, str]) -> Answer:
    """`GET /cluster`: as the leader sees it, or with `consistency=stale` as this node does. Raises BadRequest."""
    _insiders_only(asked)
    parameters = Parameters(given)
    stale = parameters.stale()
    parameters.raise_if_wrong()
    reply = surface.seen(await surface.service.query(ShowCluster(), stale))
    if not isinstance(reply.value, ClusterView):
        return surface.refusal(reply, asked)
    return json_answer(200, cluster_json(reply.value), reply.index)


async def transfer(surface: Surface, asked: Asked, given: Mapping[str, str], body: bytes) -> Answer:
    """`POST /cluster/transfer`: 202 when a node has been told to lead, which it may yet fail to. Raises BadRequest."""
    _insiders_only(asked)
    Parameters(given).raise_if_wrong()
    try:
        to = read_transfer(body)
    except BadBody as error:
        raise BadRequest(Invalid(error.problems)) from None
    reply = surface.seen(await surface.service.command(TransferLeadership(to)))
    if isinstance(reply.value, Transferred):
        return json_answer(202, {"To": reply.value.to}, reply.index)
    return _not_done(surface, reply, asked)


async def remove(surface: Surface, asked: Asked, name: str, given: Mapping[str, str]) -> Answer:
    """`DELETE /cluster/members/{name}`. Raises BadRequest."""
    _insiders_only(asked)
    Parameters(given).raise_if_wrong()
    if not re.fullmatch(NODE_NAME, name):
        raise BadRequest(Invalid((Problem("", not_a_node(name)),)))
    reply = surface.seen(await surface.service.command(RemoveMember(name)))
    if isinstance(reply.value, Removed):
        return json_answer(200, {"Name": reply.value.name}, reply.index)
    return _not_done(surface, reply, asked)


async def restore(surface: Surface, asked: Asked, given: Mapping[str, str], body: bytes) -> Answer:
    """`POST /cluster/restore`: the schedules of a backup, its document the body, that are not in force come in force,
    in one record. Repeated, nothing more comes. Raises BadRequest.
    """
    _insiders_only(asked)
    Parameters(given).raise_if_wrong()
    try:
        backup = await trio.to_thread.run_sync(_read_backup, body)
    except UnusableBackup as error:
        raise BadRequest(Invalid((Problem("", f"the body is no backup that can be restored: {error}"),))) from None
    reply = surface.seen(await surface.service.command(RestoreBackup(backup)))
    if isinstance(reply.value, Restored):
        return json_answer(200, {"Restored": reply.value.schedules, "Known": reply.value.known}, reply.index)
    return _not_done(surface, reply, asked)


def _read_backup(body: bytes) -> Backup:
    return read(read_head(body))


def _insiders_only(asked: Asked) -> None:
    """Raises BadRequest for an external caller."""
    if not asked.caller.internal:
        raise BadRequest(Forbidden("The cluster is shown to internal callers only, and changed by them."))


def _not_done(surface: Surface, reply: Reply, asked: Asked) -> Answer:
    """The answer to a wish that was refused, or that may or may not have been done."""
    if not isinstance(reply.value, OutcomeUnknown):
        return surface.refusal(reply, asked)
    detail = "Whether this was done cannot be known now. GET /cluster shows it once there is a leader again."
    return msgspec.structs.replace(problem(KINDS[OutcomeUnknown], detail, asked.path, {}), index=reply.index)
