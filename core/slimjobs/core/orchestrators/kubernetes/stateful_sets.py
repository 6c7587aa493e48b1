"""A StatefulSet, asked for until the API server says how it is, or that there is none.

Only these two are answers. A node that took anything else for "there is none" would believe that it is alone, and found
a cluster of its own beside the one that it belongs to.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec
import structlog
import trio

from slimjobs.core.configuration.relaxed_json import shortened
from slimjobs.core.configuration.stateful_set import StatefulSet
from slimjobs.core.orchestrators.kubernetes.account import Account, Answer, NoAnswer

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.kubernetes")


class Unanswered(Exception):
    """There was no answer for as long as it was worth waiting; what came last, in words for people."""


class Patience(msgspec.Struct, frozen=True):
    """How long to wait in all, for each answer, and between two. A pod may be there before the way to the API is."""

    total_seconds: float = 30.0
    attempt_seconds: float = 5.0
    pause_seconds: float = 1.0


class _Ordinals(msgspec.Struct):
    start: int = 0


class _Spec(msgspec.Struct, rename="camel"):
    service_name: str = ""
    replicas: int = 1
    ordinals: _Ordinals = msgspec.field(default_factory=_Ordinals)


class _Found(msgspec.Struct, tag_field="kind", tag="StatefulSet"):
    spec: _Spec


class _Details(msgspec.Struct):
    name: str = ""


class _Refused(msgspec.Struct, tag_field="kind", tag="Status"):
    reason: str = ""
    message: str = ""
    details: _Details = msgspec.field(default_factory=_Details)


_ANSWERS = msgspec.json.Decoder(_Found | _Refused)


async def find_stateful_set(
    account: Account, namespace: str, name: str, patience: Patience | None = None
) -> StatefulSet | None:
    """The StatefulSet of this name, or None if there is none. Raises `Unanswered` when patience is at its end."""
    patience = patience or Patience()
    deadline = trio.current_time() + patience.total_seconds
    told = ""
    while True:
        try:
            return await _ask(account, namespace, name, patience.attempt_seconds)
        except NoAnswer as error:
            reason = str(error)
        if trio.current_time() + patience.pause_seconds >= deadline:
            raise Unanswered(reason)
        if reason != told:
            _log.warning("the StatefulSet is asked for again", name=name, namespace=namespace, reason=reason)
            told = reason
        await trio.sleep(patience.pause_seconds)


async def _ask(account: Account, namespace: str, name: str, seconds: float) -> StatefulSet | None:
    path = f"/apis/apps/v1/namespaces/{quote(namespace, '')}/statefulsets/{quote(name, '')}"
    try:
        with trio.fail_after(seconds):
            answer = await trio.to_thread.run_sync(account.get, path, seconds, abandon_on_cancel=True)
    except trio.TooSlowError:
        raise NoAnswer(f"no whole answer within {seconds:g} s") from None
    return read_answer(answer, namespace, name)


def read_answer(answer: Answer, namespace: str, name: str) -> StatefulSet | None:
    """What an answer says. Raises `NoAnswer` for all that neither is this StatefulSet nor says that there is none."""
    try:
        body = _ANSWERS.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        start = shortened(answer.body[:200].decode(errors="replace"))
        raise NoAnswer(f"status {answer.status} with {start!r}, which is no answer of the API: {error}") from None
    if answer.status == 200 and isinstance(body, _Found):
        spec = body.spec
        return StatefulSet(name, namespace, spec.service_name, spec.replicas, spec.ordinals.start)
    if isinstance(body, _Found):
        raise NoAnswer(f"status {answer.status} with a StatefulSet")
    # "Not found" is also said of the whole kind, by a server that does not serve it yet.
    if answer.status == 404 and body.reason == "NotFound" and body.details.name == name:
        return None
    raise NoAnswer(f"status {answer.status}: {body.message or body.reason or 'for no reason'}")
