"""What all routes share: the node behind them, the limits, and the answers that any of them may give."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec
import trio

from slimjobs.core.configuration.settings import Settings
from slimjobs.core.decide.refusals import Invalid, Problem, Refusal
from slimjobs.core.machine.queries import ListRuns, ShowRun
from slimjobs.core.node.service import Reply, Service
from slimjobs.eventlog.events.names import JOB_NAME_RULE, job_name
from slimjobs.eventlog.events.runs import RunId
from slimjobs.http.answers import Answer
from slimjobs.http.callers import Caller, Network
from slimjobs.http.problems import refused
from slimjobs.http.server import ConnectionLimits
from slimjobs.http.strict_json import shown


class SurfaceSettings(msgspec.Struct, frozen=True):
    """The settings of contract §1 that REST heeds."""

    trusted_networks: tuple[Network, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    max_body_bytes: int = 256 * 1024
    max_batch_bytes: int = 1024 * 1024
    external_requests_per_second: float = 0.0
    default_time_zone: str = "UTC"
    connections: ConnectionLimits = ConnectionLimits()


def surface_settings(settings: Settings) -> SurfaceSettings:
    """Those of a node's settings that REST heeds."""
    return SurfaceSettings(
        trusted_networks=settings.trusted_networks,
        trusted_proxies=settings.trusted_proxies,
        max_body_bytes=settings.max_body_bytes,
        max_batch_bytes=settings.max_batch_bytes,
        external_requests_per_second=settings.external_requests_per_second,
        default_time_zone=settings.job_default_time_zone,
        connections=ConnectionLimits(settings.max_connections, settings.max_connections_per_address),
    )


class Asked(msgspec.Struct, frozen=True):
    """A request as every route needs it: who asked, and the path it asked for."""

    caller: Caller
    path: str


class BadRequest(Exception):
    """A request that is refused before the node is asked."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class Surface:
    """The node as the routes see it, and the newest index that any answer reflected."""

    def __init__(self, service: Service, settings: SurfaceSettings, stop: trio.Event) -> None:
        self.service = service
        self.settings = settings
        self._stop = stop
        self.newest_index = 0

    def seen(self, reply: Reply) -> Reply:
        """The reply, its index noted."""
        self.newest_index = max(self.newest_index, reply.index)
        return reply

    async def waited(self, query: ShowRun, stale: bool) -> Reply:
        """The reply to a query that waits for a change. When the node is told to stop, that ends all waiting: a
        client that asked to wait for minutes is told at once how things are, instead of being cut off.
        """
        if query.wait_seconds and not self._stop.is_set():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cancel_at_stop, nursery.cancel_scope)
                reply = await self.service.query(query, stale)
                nursery.cancel_scope.cancel()
                return reply
        return await self.service.query(msgspec.structs.replace(query, wait_seconds=0.0), stale)

    async def _cancel_at_stop(self, scope: trio.CancelScope) -> None:
        await self._stop.wait()
        scope.cancel()

    def refusal(self, reply: Reply, asked: Asked, lines: Sequence[int] | None = None) -> Answer:
        """The answer to a request that the node refused."""
        if not isinstance(reply.value, Refusal):
            raise TypeError(f"the node answered {asked.path} with {type(reply.value).__name__}")
        return msgspec.structs.replace(refused(reply.value, asked.path, lines), index=reply.index)

    async def forbidden(self, job: str, asked: Asked, stale: bool = False) -> Answer | None:
        """The 403 that this caller gets on whatever touches this job; None if it gets none.

        For refusals made here, before the node is asked: an external caller must not learn more of a private job from
        them than that it may not.
        """
        if asked.caller.internal:
            return None
        reply = self.seen(await self.service.query(ListRuns(job, internal=False, limit=1), stale))
        return self.refusal(reply, asked) if isinstance(reply.value, Refusal) else None


def checked_name(text: str) -> str:
    """The job's name that this part of a path is. Raises BadRequest."""
    name = job_name(text)
    if name is None:
        raise BadRequest(Invalid((Problem("", f"'{shown(text)}' is no job name: {JOB_NAME_RULE}"),)))
    return name


def mint(count: int) -> list[RunId]:
    """New ids of runs."""
    entropy = secrets.token_bytes(10 * count)
    return [RunId(entropy[at : at + 10]) for at in range(0, len(entropy), 10)]
