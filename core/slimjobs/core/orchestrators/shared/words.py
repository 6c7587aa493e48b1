"""What a node and a shared runner say to each other: tagged structs, a frame each.

A connection is greeted with what it is for, and is that for ever:

    effects        Ask(number, effect) ...   ->  Answer(number, outcome) ... in any order, many at once
    observations   Next                      ->  Waiting ... then one observation (a list may take several frames)
    output         Next                      ->  Waiting ... then Piece, End or NoOutput
    services       Look(declared)            ->  Waiting ... then one sight

All but the first are pulled, one `Next` or `Look` each: the runner never sends what the node has not asked for, nothing
is buffered between them, and a list is begun only after the word before it was taken, as the port demands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from slimjobs.core.configuration.services import Service
from slimjobs.core.orchestrators.ports import (
    Changed,
    Effect,
    ObservedJob,
    Outcome,
    Scale,
    Sight,
    Unobserved,
    Vanished,
)
from slimjobs.eventlog.transport.frames import frame

PROTOCOL: Final = 2
"""Raised when the two sides would misunderstand each other; new fields with defaults do not need it."""

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
LIST_PART_BYTES: Final = 1024 * 1024
"""A list is cut into parts of about so much."""

BEAT_SECONDS: Final = 2.0
"""How often the runner says that it is there while there is nothing to say."""

SILENCE_SECONDS: Final = 10.0
"""Whoever is silent for so long when it should speak, or does not read for so long, is given up."""


# From the node ------------------------------------------------------------------------------------------------------


class ForEffects(msgspec.Struct, frozen=True, tag=True):
    """This connection asks for effects."""


class ForObservations(msgspec.Struct, frozen=True, tag=True):
    """This connection observes."""


class ForOutput(msgspec.Struct, frozen=True, tag=True):
    """This connection reads one output (see the port)."""

    name: str
    uid: str
    attempt: int | None
    tail_lines: int | None
    follow: bool


class ForServices(msgspec.Struct, frozen=True, tag=True):
    """This connection declares services and looks at them."""


Purpose = ForEffects | ForObservations | ForOutput | ForServices


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The first word of every connection."""

    protocol: int
    purpose: Purpose


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Carry this effect out; numbers are the asker's and repeat on no connection."""

    number: int
    effect: Effect | Scale


class Next(msgspec.Struct, frozen=True, tag=True):
    """The last one was taken; give the next when there is one."""


class Look(msgspec.Struct, frozen=True, tag=True):
    """As `Next`, and these services are declared, and no others."""

    declared: Mapping[str, Service]


# From the runner ----------------------------------------------------------------------------------------------------


class Welcome(msgspec.Struct, frozen=True, tag=True):
    """The greeting was understood and there is room."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The connection cannot be used; it is closed after this."""

    reason: str


class Answer(msgspec.Struct, frozen=True, tag=True):
    """What came of an effect."""

    number: int
    outcome: Outcome


class Waiting(msgspec.Struct, frozen=True, tag=True):
    """There is nothing yet, but somebody is there."""


class ListPart(msgspec.Struct, frozen=True, tag=True):
    """A part of `Listed`; the next part follows unasked if there is more."""

    jobs: tuple[ObservedJob, ...]
    more: bool


class Piece(msgspec.Struct, frozen=True, tag=True):
    """Some of the output."""

    content: bytes


class End(msgspec.Struct, frozen=True, tag=True):
    """The output is at its end."""


class NoOutput(msgspec.Struct, frozen=True, tag=True):
    """There is no such output; `unknown` if that cannot be known now."""

    reason: str
    unknown: bool


Request = Hello | Ask | Next | Look
Observed = ListPart | Changed | Vanished | Unobserved
Output = Piece | End | NoOutput
Reply = Welcome | Refused | Answer | Waiting | Observed | Output | Sight

T = TypeVar("T")

_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final = msgspec.msgpack.Decoder[Request](Request)
_replies: Final = msgspec.msgpack.Decoder[Reply](Reply)

decode_request: Final = _requests.decode
decode_reply: Final = _replies.decode


class FrameTooLong(Exception):
    """This cannot be said in one frame; the message says how long it would be."""


def framed(word: Request | Reply) -> bytes:
    """A word as it travels. Raises `FrameTooLong`."""
    body = _encoder.encode(word)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooLong(f"{len(body):,} bytes, where {MAX_FRAME_BYTES:,} are the limit")
    return frame(body)


def list_parts(jobs: Sequence[ObservedJob]) -> Iterator[ListPart]:
    """A list, cut into parts that fit into frames; an empty one is one part."""
    part: list[ObservedJob] = []
    size = 0
    for job in jobs:
        job_size = len(_encoder.encode(job))
        if part and size + job_size > LIST_PART_BYTES:
            yield ListPart(tuple(part), more=True)
            part, size = [], 0
        part.append(job)
        size += job_size
    yield ListPart(tuple(part), more=False)
