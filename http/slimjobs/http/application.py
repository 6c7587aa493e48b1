"""Where every request comes in: who asks is judged, how often is counted, and the shortest way to an answer is taken.

Triggers are what this service is for, so a POST whose body is announced and short is answered here, without the web
framework, which costs more than everything else on the way. Every other request is the framework's (`routes`).
"""

from __future__ import annotations

from typing import Final

import structlog
import trio
from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope, Scope

from slimjobs.core.node.service import Service
from slimjobs.http import triggers
from slimjobs.http.accepting import coded, not_acceptable
from slimjobs.http.answers import Answer
from slimjobs.http.callers import Judge
from slimjobs.http.openapi.rules import MEDIA
from slimjobs.http.problems import plain_problem, refused
from slimjobs.http.rates import RateLimit
from slimjobs.http.room import ROOM_BYTES, BodyRoom, may_grow_to
from slimjobs.http.routes import ASKED, BODY_SECONDS, DETAILS, Framework
from slimjobs.http.surface import Asked, BadRequest, Surface, SurfaceSettings

# Whoever watches over the node asks these from anywhere, and must not be told to come back later.
PROBES: Final = frozenset({"/health", "/ready"})

TRIGGER_MEDIA: Final = MEDIA["POST", "/job/{name}"]
BATCH_MEDIA: Final = MEDIA["POST", "/jobs"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.http")

Headers = dict[bytes, bytes]


def create_app(service: Service, settings: SurfaceSettings, stop: trio.Event | None = None) -> ASGIFramework:
    """The REST surface of a node, as an ASGI application for `server.serve`; `stop` is the event that ends it."""
    return Application(Surface(service, settings, trio.Event() if stop is None else stop))


class Application:
    """The entrance."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._framework = Framework(surface)
        self._judge = Judge(surface.settings.trusted_networks, surface.settings.trusted_proxies)
        self._room = BodyRoom(max(ROOM_BYTES, self._framework.longest_body))
        self._rates = RateLimit(surface.settings.external_requests_per_second)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request, and log that."""
        if scope["type"] != "http":
            raise NotImplementedError(f"this application answers no {scope['type']}")
        started = trio.current_time()
        headers = _joined(scope)
        peer = scope["client"][0] if scope["client"] else ""
        asked = Asked(self._judge.judge(peer, headers), scope["path"])
        reply = _Reply(send, self._surface)
        room = may_grow_to(headers, self._framework.longest_body)
        refusal = self._too_often(asked, started) or coded(headers, asked.path) or self._no_room(asked, room)
        if refusal is not None:
            await reply.give(refusal)
        else:
            try:
                await self._answer(scope, headers, asked, receive, reply)
            finally:
                self._room.give_back(room)
        _log(scope, asked, reply, self._surface, trio.current_time() - started)

    async def _answer(
        self, scope: HTTPScope, headers: Headers, asked: Asked, receive: ASGIReceiveCallable, reply: _Reply
    ) -> None:
        if self._is_short_post(scope, headers):
            await self._answer_post(headers, asked, receive, reply)
        else:
            ASKED.set(asked)
            await self._framework(scope, receive, reply.pass_on)

    def _no_room(self, asked: Asked, room: int) -> Answer | None:
        """Take room for the body, or refuse the request until others are done."""
        if self._room.take(room):
            return None
        detail = "As many long bodies are being read as there is room for; nothing was done. Try again."
        return plain_problem(503, detail, asked.path, ((b"retry-after", b"1"),))

    def _too_often(self, asked: Asked, now: float) -> Answer | None:
        """The refusal of an external caller that asks more often than it may."""
        if asked.caller.internal or asked.path in PROBES or self._rates.allows(asked.caller.address, now):
            return None
        detail = "This address asks more often than it may (SlimFaas__ExternalRequestsPerSecond)."
        return plain_problem(429, detail, asked.path, ((b"retry-after", b"1"),))

    def _is_short_post(self, scope: HTTPScope, headers: Headers) -> bool:
        """Whether this is a trigger whose body is known to be within its limit before any of it is read."""
        if scope["method"] != "POST" or b"transfer-encoding" in headers or "//" in scope["path"]:
            return False
        if scope["path"] == "/jobs":
            limit = self._surface.settings.max_batch_bytes
        elif scope["path"].startswith("/job/"):
            limit = self._surface.settings.max_body_bytes
        else:
            return False
        return int(headers.get(b"content-length", b"0")) <= limit

    async def _answer_post(self, headers: Headers, asked: Asked, receive: ASGIReceiveCallable, reply: _Reply) -> None:
        body = None
        with trio.move_on_after(BODY_SECONDS) as patience:
            body = await _whole_body(receive)
        if patience.cancelled_caught:
            await reply.give(plain_problem(408, DETAILS[408], asked.path))
        elif body is not None:
            await reply.give(await self._trigger(headers, asked, body))

    async def _trigger(self, headers: Headers, asked: Asked, body: bytes) -> Answer:
        key = headers.get(b"idempotency-key")
        media = BATCH_MEDIA if asked.path == "/jobs" else TRIGGER_MEDIA
        if (unwanted := not_acceptable(headers.get(b"accept"), media, asked.path)) is not None:
            return unwanted
        try:
            if asked.path == "/jobs":
                return await triggers.trigger_batch(self._surface, asked, key, body)
            name, _, path = asked.path.removeprefix("/job/").partition("/")
            return await triggers.trigger(self._surface, asked, name, path, key, body)
        except BadRequest as error:
            return refused(error.refusal, asked.path)
        except Exception:  # the rim: what is wrong here must not end the connection without an answer
            log.exception("a trigger failed", path=asked.path)
            return plain_problem(500, DETAILS[500], asked.path)


class _Reply:
    """What a request is answered, on its way out; remembers the status."""

    def __init__(self, send: ASGISendCallable, surface: Surface) -> None:
        self._send = send
        self._surface = surface
        self.status = 0

    async def give(self, answer: Answer) -> None:
        """Send a whole answer."""
        self.status = answer.status
        headers = answer.header_list(self._surface.newest_index)
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": answer.body, "more_body": False})

    async def pass_on(self, event: ASGISendEvent) -> None:
        """Send a part of an answer that the framework makes."""
        if event["type"] == "http.response.start":
            self.status = event["status"]
        await self._send(event)


async def _whole_body(receive: ASGIReceiveCallable) -> bytes | None:
    """The body of a request; None if the client left before all of it was here."""
    pieces: list[bytes] = []
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return None
        pieces.append(event["body"])
        if not event["more_body"]:
            return b"".join(pieces)


def _joined(scope: HTTPScope) -> Headers:
    """Headers by lower-case name, the values of repeated ones joined (RFC 9110 §5.2)."""
    headers: Headers = {}
    for name, value in scope["headers"]:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _log(scope: HTTPScope, asked: Asked, reply: _Reply, surface: Surface, seconds: float) -> None:
    """One line for each request. What went well is for who debugs: it is counted elsewhere, and a line that is written
    costs a tenth of what answering a trigger does. A status of 0 is a client that left before it was answered.
    """
    if reply.status >= 500:
        say = log.warning
    elif reply.status >= 400 or not reply.status:
        say = log.info
    else:
        say = log.debug
    say(
        "request",
        method=scope["method"],
        path=asked.path,
        status=reply.status,
        index=surface.newest_index,
        milliseconds=round(seconds * 1000, 3),
        caller="internal" if asked.caller.internal else "external",
        address=asked.caller.address,
    )
