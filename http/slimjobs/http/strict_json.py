"""Bodies as strict JSON (RFC 8259), read so that nothing a client wrote is lost or guessed at: the first step.

An object comes out as its members in order, duplicates included, and a number as its text, so that the checks that
follow (`fields`, `overrides`) can refuse the one and bound the other. What is wrong with the text itself ends here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final, NoReturn

MAX_PROBLEM_CHARACTERS: Final = 200

# What no string of ours may hold: arguments and variables end at a NUL, and half a surrogate pair is no character.
UNSAFE: Final = re.compile("[\0\ud800-\udfff]")


class NotJson(ValueError):
    """A text that is not strict JSON; the message says where and why."""


class Number(str):
    """A number as it was written."""

    __slots__ = ()


class Members(tuple[tuple[str, "Value"], ...]):
    """An object as it was written."""

    __slots__ = ()


Value = None | bool | str | Number | list["Value"] | Members


def parse(body: bytes) -> Value:
    """The value that these bytes hold. Raises NotJson, whatever they are."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8 (at byte {error.start})") from None
    try:
        value: Value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        raise NotJson(f"not JSON: {error.msg} ({where})") from None
    except RecursionError:
        raise NotJson("nested too deeply") from None
    return value


def shown(text: str) -> str:
    """The text as a message may hold it: of bounded length, and without what cannot be encoded."""
    short = text if len(text) <= MAX_PROBLEM_CHARACTERS else text[:MAX_PROBLEM_CHARACTERS] + "..."
    return short.encode("utf-8", "backslashreplace").decode()


def pointer_to(parent: str, step: str | int) -> str:
    """The JSON pointer (RFC 6901) of a member or an item of what the parent points to."""
    if isinstance(step, int):
        return f"{parent}/{step}"
    return f"{parent}/{shown(step).replace('~', '~0').replace('/', '~1')}"


def kind_of(value: Value) -> str:
    """What a value is, in the words of a message."""
    for kind, words in _KINDS:
        if isinstance(value, kind):
            return words
    return "null"


# `Number` before `str`: it is one.
_KINDS: Final[Iterable[tuple[type, str]]] = (
    (bool, "a boolean"),
    (Number, "a number"),
    (str, "a string"),
    (list, "an array"),
    (Members, "an object"),
)


def _refuse_constant(text: str) -> NoReturn:
    raise NotJson(f"not JSON: {text} is no JSON number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant
)
