"""What a client can read and send: `Accept` against what a route gives, and the coding of a body.

The type of a body is heeded by nobody: bodies are JSON whatever `Content-Type` says (contract §2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from slimjobs.http.answers import Answer
from slimjobs.http.problems import plain_problem

ANYTHING: Final = b"*/*"
MAX_REMEMBERED_BYTES: Final = 512
PLAIN: Final = frozenset({b"", b"identity"})

_RANGE: Final = re.compile(r"(?P<range>[^\s;/]+/[^\s;/]+)(?P<parameters>\s*(?:;.*)?)", re.S)
_NO_WEIGHT: Final = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*(;|$)")


def not_acceptable(accept: bytes | None, media: Sequence[str], instance: str) -> Answer | None:
    """The 406 that a request gets if its `Accept` (repeated ones joined) excludes all that its route gives."""
    if accept is None or accept == ANYTHING or not media:
        return None
    takes = _remembered if len(accept) <= MAX_REMEMBERED_BYTES else _takes
    if takes(accept, tuple(media)):
        return None
    return plain_problem(406, f"Accept excludes what this gives: {', '.join(media)}.", instance)


def coded(headers: Mapping[bytes, bytes], instance: str) -> Answer | None:
    """The 415 that a request with a compressed body gets, with what is taken instead (RFC 9110 §12.5.3)."""
    coding = headers.get(b"content-encoding", b"").strip().lower()
    if coding in PLAIN:
        return None
    detail = "The body is compressed or otherwise coded (Content-Encoding); it is read only as it is."
    return plain_problem(415, detail, instance, ((b"accept-encoding", b"identity"),))


def _takes(accept: bytes, media: tuple[str, ...]) -> bool:
    """Whether this leaves any of these. The most specific range that fits a type decides on it (RFC 9110 §12.5.1);
    parameters other than `q` are nothing that we give in more than one way, and what cannot be read says nothing.
    """
    ranges = [_RANGE.fullmatch(each.strip()) for each in accept.decode("latin-1").lower().split(",")]
    weights = {each["range"]: not _NO_WEIGHT.search(each["parameters"]) for each in ranges if each is not None}
    return not weights or any(_weight(each, weights) for each in media)


def _weight(media: str, weights: Mapping[str, bool]) -> bool:
    return weights.get(media, weights.get(f"{media.partition('/')[0]}/*", weights.get("*/*", False)))


_remembered = lru_cache(maxsize=256)(_takes)
