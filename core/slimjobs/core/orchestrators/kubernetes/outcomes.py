"""What an answer of the API server means for an effect: (effect, answer) -> `Outcome`. Pure.

201 created · 409 AlreadyExists: the name is taken, by whom is to be asked for
404 of this very object, 409 or 422 about the uid: it is not there (any more)
400, 413, 422: refused for good · anything else may pass (contract §3)
"""

from __future__ import annotations

from typing import Final

import msgspec

from slimjobs.core.orchestrators.kubernetes.objects import JobObject
from slimjobs.core.orchestrators.kubernetes.phases import observed, seen_job
from slimjobs.core.orchestrators.ports import (
    Accepted,
    AlreadyExists,
    Created,
    Missing,
    ObservedJob,
    Outcome,
    Rejected,
    Unavailable,
)

_FOR_GOOD: Final = frozenset({400, 413, 422})
_OF_ANOTHER_UID: Final = ("the UID in the precondition", "Precondition failed: UID in precondition")
"""How a conflict about the uid is told from one between writers, which passes: by these words alone."""


class _Cause(msgspec.Struct, frozen=True):
    field: str = ""


class _Details(msgspec.Struct, frozen=True):
    name: str = ""
    causes: tuple[_Cause, ...] = ()


class _Status(msgspec.Struct, frozen=True):
    """A Status object of the API, which is what it refuses with."""

    reason: str = ""
    message: str = ""
    details: _Details = _Details()


_DECODE_STATUS: Final = msgspec.json.Decoder(_Status)
_DECODE_JOB: Final = msgspec.json.Decoder(JobObject)


def of_creation(name: str, status: int, body: bytes) -> Outcome | None:
    """The outcome of a creation; None where the name is taken, so that who has it is to be asked for."""
    if status in (200, 201, 202):
        job = _read(body)
        return Unavailable(f"{name} was created, but the answer cannot be read") if job is None else Created(job)
    refused = _refused(body)
    if status == 409 and refused.reason == "AlreadyExists":
        return None
    return _refusal(status, refused)


def of_look_up(name: str, status: int, body: bytes) -> Outcome:
    """The outcome of a creation whose name was taken: by whom, says the answer to a `GET`."""
    if status != 200:
        return Unavailable(f"{name} is taken, and by whom is not known: {_in_words(status, _refused(body))}")
    job = _read(body)
    return Unavailable(f"{name} is taken by another object") if job is None else AlreadyExists(job)


def of_change(name: str, status: int, body: bytes) -> Outcome:
    """The outcome of a patch or a deletion that is only for the object of a certain uid."""
    if status in (200, 201, 202):
        return Accepted()
    refused = _refused(body)
    return Missing() if _is_missing(name, status, refused) else _refusal(status, refused)


def _is_missing(name: str, status: int, refused: _Status) -> bool:
    """Whether this says that there is no object of this name and uid.

    "Not found" is also said of the whole kind, by a server that does not serve it yet.
    """
    if status == 404:
        return refused.reason == "NotFound" and refused.details.name == name
    if status == 409:
        return any(words in refused.message for words in _OF_ANOTHER_UID)
    return status == 422 and any(cause.field == "metadata.uid" for cause in refused.details.causes)


def _refusal(status: int, refused: _Status) -> Outcome:
    words = _in_words(status, refused)
    return Rejected(words) if status in _FOR_GOOD else Unavailable(words)


def _in_words(status: int, refused: _Status) -> str:
    return refused.message or refused.reason or f"the API server answered with status {status}"


def _refused(body: bytes) -> _Status:
    try:
        return _DECODE_STATUS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Status()


def _read(body: bytes) -> ObservedJob | None:
    """The Job in an answer, as it is without its pods; None if it is no run's, or not to be read."""
    try:
        job = seen_job(_DECODE_JOB.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if job is None else observed(job, (), 0)
