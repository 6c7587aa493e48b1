"""The routes, as the web framework dispatches them: each takes its parts out of the request and gives an answer.

A POST seldom comes here: `application` answers those that are short. What they are answered is the same.
"""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType
from typing import Final

import structlog
from quart import Response, request
from quart.globals import request_ctx
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import PathConverter

from slimjobs.http import cluster, runs, schedules, triggers
from slimjobs.http.accepting import not_acceptable
from slimjobs.http.answers import JSON, NO_CONTENT, Answer, Header, json_answer
from slimjobs.http.openapi.document import document
from slimjobs.http.openapi.rules import media_of
from slimjobs.http.problems import plain_problem, refused, too_large
from slimjobs.http.surface import Asked, BadRequest, Surface

BODY_SECONDS: Final = 30

ASKED: Final[ContextVar[Asked]] = ContextVar("asked")
"""Who asks, and for what, in the task that answers; `application` sets it."""

INDEX: Final = "X-SlimFaas-Index"
DETAILS: Final = {
    404: "Nothing is under this path.",
    405: "What is under this path does not take this method; Allow says which it takes.",
    408: "The body did not arrive in time.",
    500: "Something went wrong here that should not have; the log of this node says what.",
}

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.http")

ExceptionInfo = tuple[type, BaseException, TracebackType] | tuple[None, None, None]


class AnyPath(PathConverter):
    """What follows a job's name: unlike the framework's own, it may hold line breaks, as it does where short POSTs are
    answered.
    """

    regex = "(?s:[^/].*?)"
    part_isolating = False


class Framework(QuartTrio):
    """The framework, without what this service has no use for: files, sessions, limits of time on answers."""

    def __init__(self, surface: Surface) -> None:
        super().__init__("slimjobs.http", static_folder=None)
        self.url_map.merge_slashes = False  # what follows a job's name is the caller's own
        self.url_map.converters = {**self.url_map.converters, "path": AnyPath}
        self.longest_body = max(surface.settings.max_body_bytes, surface.settings.max_batch_bytes)
        self.config["MAX_CONTENT_LENGTH"] = self.longest_body
        self.config["BODY_TIMEOUT"] = BODY_SECONDS
        # An answer lasts as long as its client goes on reading: `connection` sees to that.
        self.config["RESPONSE_TIMEOUT"] = None
        _add_trigger_routes(self, surface)
        _add_run_routes(self, surface)
        _add_schedule_routes(self, surface)
        _add_cluster_routes(self, surface)
        _add_node_routes(self, surface)
        _add_refusals(self, surface)
        self._surface = surface

    async def make_default_options_response(self) -> Response:
        """Answer OPTIONS, wherever anything is: the methods are all that there is to say."""
        adapter = request_ctx.url_adapter
        methods = adapter.allowed_methods() if adapter is not None else ()
        allow = ", ".join(sorted(methods)).encode()
        return _response(self._surface, Answer(NO_CONTENT, b"", headers=((b"allow", allow),)))

    def log_exception(self, exception_info: ExceptionInfo) -> None:
        """Log what a route raised unexpectedly, with its cause."""
        log.error("a route failed", method=request.method, path=request.path, exc_info=exception_info)


class TooLarge(Exception):
    """A body that is longer than it may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


def _add_trigger_routes(app: Framework, surface: Surface) -> None:
    @app.post("/job/<name>")
    @app.post("/job/<name>/")
    @app.post("/job/<name>/<path:path>")
    async def trigger(name: str, path: str = "") -> Response:
        body = await _body(surface.settings.max_body_bytes)
        return _response(surface, await triggers.trigger(surface, ASKED.get(), name, path, _key(), body))

    @app.post("/jobs")
    async def trigger_batch() -> Response:
        body = await _body(surface.settings.max_batch_bytes)
        return _response(surface, await triggers.trigger_batch(surface, ASKED.get(), _key(), body))


def _add_run_routes(app: Framework, surface: Surface) -> None:
    @app.get("/job/<name>")
    async def list_runs(name: str) -> Response:
        return _response(surface, await runs.list_runs(surface, ASKED.get(), name, request.args))

    @app.get("/job/<name>/<run>")
    async def show_run(name: str, run: str) -> Response:
        return _response(surface, await runs.show_run(surface, ASKED.get(), name, run, request.args))

    @app.delete("/job/<name>/<run>")
    async def delete_run(name: str, run: str) -> Response:
        return _response(surface, await runs.delete_run(surface, ASKED.get(), name, run, request.args))

    @app.get("/job/<name>/<run>/logs")
    async def run_output(name: str, run: str) -> Response:
        follow_allowed = request.method != "HEAD"
        given = await runs.run_output(surface, ASKED.get(), name, run, request.args, follow_allowed=follow_allowed)
        return _response(surface, given) if isinstance(given, Answer) else _stream(given)


def _add_schedule_routes(app: Framework, surface: Surface) -> None:
    @app.post("/job-schedules/<name>")
    async def add_schedule(name: str) -> Response:
        body = await _body(surface.settings.max_body_bytes)
        return _response(surface, await schedules.add(surface, ASKED.get(), name, _key(), body))

    @app.get("/job-schedules/<name>")
    async def list_schedules(name: str) -> Response:
        return _response(surface, await schedules.list_schedules(surface, ASKED.get(), name, request.args))

    @app.delete("/job-schedules/<name>/<schedule>")
    async def remove_schedule(name: str, schedule: str) -> Response:
        return _response(surface, await schedules.remove(surface, ASKED.get(), name, schedule, request.args))

    @app.get("/job-schedules/<name>/<schedule>/fires")
    async def list_fires(name: str, schedule: str) -> Response:
        return _response(surface, await schedules.list_fires(surface, ASKED.get(), name, schedule, request.args))

    @app.post("/job-schedules/<name>/<schedule>/pause")
    async def pause_schedule(name: str, schedule: str) -> Response:
        asked = ASKED.get()
        return _response(surface, await schedules.pause(surface, asked, name, schedule, request.args, paused=True))

    @app.post("/job-schedules/<name>/<schedule>/resume")
    async def resume_schedule(name: str, schedule: str) -> Response:
        asked = ASKED.get()
        return _response(surface, await schedules.pause(surface, asked, name, schedule, request.args, paused=False))

    @app.post("/job-schedules/<name>/<schedule>/run")
    async def run_schedule(name: str, schedule: str) -> Response:
        asked = ASKED.get()
        return _response(surface, await schedules.run_now(surface, asked, name, schedule, request.args, _key()))


def _add_cluster_routes(app: Framework, surface: Surface) -> None:
    @app.get("/cluster")
    async def show_cluster() -> Response:
        return _response(surface, await cluster.show_cluster(surface, ASKED.get(), request.args))

    @app.post("/cluster/transfer")
    async def transfer() -> Response:
        body = await _body(surface.settings.max_body_bytes)
        return _response(surface, await cluster.transfer(surface, ASKED.get(), request.args, body))

    @app.post("/cluster/restore")
    async def restore() -> Response:
        body = await _body(surface.settings.max_batch_bytes)
        return _response(surface, await cluster.restore(surface, ASKED.get(), request.args, body))

    @app.delete("/cluster/members/<name>")
    async def remove(name: str) -> Response:
        return _response(surface, await cluster.remove(surface, ASKED.get(), name, request.args))


def _add_node_routes(app: Framework, surface: Surface) -> None:
    @app.get("/jobs/status")
    async def show_status() -> Response:
        return _response(surface, await runs.show_status(surface, ASKED.get(), request.args))

    @app.get("/health")
    async def health() -> Response:
        return _response(surface, json_answer(200, {"Status": "alive"}, surface.newest_index))

    @app.get("/ready")
    async def ready() -> Response:
        return _response(surface, runs.ready(surface, ASKED.get()))

    @app.get("/openapi.json")
    async def show_openapi() -> Response:
        return _response(surface, Answer(200, document(), JSON))


def _add_refusals(app: Framework, surface: Surface) -> None:
    @app.before_request
    async def unwanted() -> Response | None:
        if request.url_rule is None:
            return None
        accept = ", ".join(request.headers.getlist("Accept")).encode("latin-1") or None
        answer = not_acceptable(accept, media_of(request.method, request.url_rule.rule), ASKED.get().path)
        return None if answer is None else _response(surface, answer)

    @app.errorhandler(BadRequest)
    async def bad_request(error: BadRequest) -> Response:
        return _response(surface, refused(error.refusal, ASKED.get().path))

    @app.errorhandler(TooLarge)
    async def body_too_large(error: TooLarge) -> Response:
        return _response(surface, too_large(error.limit, ASKED.get().path))

    @app.errorhandler(HTTPException)
    async def http_problem(error: HTTPException) -> Response:
        status = error.code or 500
        if status == 413:
            return _response(surface, too_large(app.longest_body, ASKED.get().path))
        detail = DETAILS.get(status) or error.description or ""
        return _response(surface, plain_problem(status, detail, ASKED.get().path, _allow(error)))

    @app.after_request
    async def with_index(response: Response) -> Response:
        # The framework's own answer to OPTIONS carries it too.
        response.headers.setdefault(INDEX, str(surface.newest_index))
        return response


def _allow(error: HTTPException) -> tuple[Header, ...]:
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        return ((b"allow", ", ".join(sorted(error.valid_methods)).encode()),)
    return ()


async def _body(limit: int) -> bytes:
    """The whole body of the request. Raises TooLarge, if it can before any of it is read."""
    if (request.content_length or 0) > limit:
        raise TooLarge(limit)
    body = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    if len(body) > limit:
        raise TooLarge(limit)
    return body


def _key() -> bytes | None:
    """The Idempotency-Key; two of them are none that could be taken, and are refused as what they are together."""
    values = request.headers.getlist("Idempotency-Key")
    return ", ".join(values).encode("latin-1") if values else None


def _response(surface: Surface, answer: Answer) -> Response:
    headers = {name.decode(): value.decode() for name, value in answer.header_list(surface.newest_index)}
    response = TrioResponse(answer.body, answer.status, headers)
    if answer.status == NO_CONTENT:
        del response.headers["Content-Type"], response.headers["Content-Length"]  # which the framework adds
    return response


def _stream(output: runs.Output) -> Response:
    """The output as it comes. It is whatever a job wrote: no browser may take it for a page."""
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        INDEX: str(output.index),
    }
    return TrioResponse(output.pieces(), 200, headers)
