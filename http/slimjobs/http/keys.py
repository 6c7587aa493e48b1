"""Idempotency keys: what is wrong with one, and the digests of one in its scope (contract §2)."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

import msgspec

from slimjobs.core.decide.commands import IdempotencyKey
from slimjobs.core.decide.refusals import Problem
from slimjobs.http.answers import Header
from slimjobs.http.surface import Asked

DIGEST_BYTES: Final = 16

_VISIBLE: Final = re.compile(rb"[\x21-\x7e]{1,255}")
_NORMALISED: Final = msgspec.msgpack.Encoder(order="deterministic")
_REPLAYED: Final[Header] = (b"idempotent-replayed", b"true")


def key_problems(key: bytes | None) -> list[Problem]:
    """What is wrong with a key."""
    if key is None or _VISIBLE.fullmatch(key):
        return []
    return [Problem("", "an Idempotency-Key is one header of 1 to 255 visible ASCII characters")]


def idempotency_key(key: bytes | None, path: str, asked: Asked, said: object) -> IdempotencyKey | None:
    """The digests of a key in its scope (method, path, internal or external) and of what came with it, normalised."""
    if key is None:
        return None
    scope = _NORMALISED.encode(("POST", path, asked.caller.internal, key))
    return IdempotencyKey(_digest(scope), _digest(_NORMALISED.encode(said)))


def replayed(is_replayed: bool) -> tuple[Header, ...]:
    """The header of an answer that was given before."""
    return (_REPLAYED,) if is_replayed else ()


def _digest(of: bytes) -> bytes:
    return blake2b(of, digest_size=DIGEST_BYTES).digest()
