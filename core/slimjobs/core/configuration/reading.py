"""How a tree of relaxed JSON is walked: spots, the members of objects, and the kinds of values that recur.

Between the text (`relaxed_json`) and what a key means (`definitions`, `schedules`, `services`). A reader takes a spot
and gives a value, or notes what is wrong there and gives None; so one walk finds everything that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from slimjobs.core.configuration.nearest import did_you_mean
from slimjobs.core.configuration.relaxed_json import (
    Array,
    Document,
    Member,
    Node,
    Number,
    Object,
    Unreadable,
    shortened,
)

MAX_INTEGER: Final = 2**31 - 1  # Kubernetes keeps its counts and seconds as int32
MAX_TEXT_BYTES: Final = 128 * 1024 - 1  # Linux takes no longer argument or variable (MAX_ARG_STRLEN)

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Spot:
    """A value in its document: what is read, and where a problem with it is noted."""

    document: Document
    node: Node
    path: tuple[str | int, ...] = ()

    def problem(self, text: str) -> None:
        """Note that this value is wrong."""
        self.document.problem(self.path, self.node.at, text)

    def expected(self, what: str) -> None:
        """Note that this value is something else; nothing, if the parser has already complained about it."""
        if not isinstance(self.node.value, Unreadable):
            self.problem(f"expected {what}, found {kind_of(self.node)}")

    def within(self, step: str | int, node: Node) -> Spot:
        """The spot of a member or an item."""
        return Spot(self.document, node, (*self.path, step))


Reader = Callable[[Spot], T | None]


def kind_of(node: Node) -> str:
    """What a value is, in words for a message."""
    match node.value:
        case None:
            return "null"
        case bool():
            return "true" if node.value else "false"
        case str():
            return f'"{shortened(node.value)}"'
        case Number():
            return f"the number {node.value.text}"
        case Array():
            return "an array"
        case _:
            return "an object"


def known_keys(*keys: str) -> Mapping[str, str]:
    """The keys of an object by what they are matched with: keys have no case."""
    return {key.casefold(): key for key in keys}


class Fields:
    """The members of an object by known key. A null is as good as an absent key."""

    def __init__(self, spot: Spot, known: Mapping[str, str]) -> None:
        """Note everything that is wrong with the keys: unknown ones, and those given twice in different case."""
        self.spot = spot
        self._found: dict[str, Spot] = {}
        for member, inner in members(spot):
            key = known.get(member.key.casefold())
            if key is None:
                unknown_key(inner, member, "key", known.values())
            elif key in self._found:
                key_problem(inner, member, f"'{key}' is given twice")
            else:
                self._found[key] = inner

    def take(self, key: str, reader: Reader[T]) -> T | None:
        """What its reader makes of the value; None if there is none or it cannot be read."""
        found = self._found.get(key)
        return None if found is None or found.node.value is None else reader(found)

    def take_or(self, key: str, reader: Reader[T], default: T) -> T:
        """As `take`, with a default for an absent key (and one that cannot be read: that is a problem already)."""
        value = self.take(key, reader)
        return default if value is None else value

    def need(self, key: str, reader: Reader[T]) -> T | None:
        """As `take`; an absent key is a problem."""
        if key not in self._found and isinstance(self.spot.node.value, Object):
            self.spot.problem(f"'{key}' is missing")
        found = self._found.get(key)
        return None if found is None else reader(found)


def members(spot: Spot) -> Iterator[tuple[Member, Spot]]:
    """The members of an object, in order; a value that is no object is a problem and has none."""
    if not isinstance(spot.node.value, Object):
        spot.expected("an object")
        return
    for member in spot.node.value.members:
        yield member, spot.within(member.key, member.node)


def key_problem(spot: Spot, member: Member, text: str) -> None:
    """Note that the key of this member is wrong, where the key stands, unless the parser has complained about it."""
    if not spot.document.is_noted(member.at):
        spot.document.problem(spot.path, member.at, text)


def unknown_key(spot: Spot, member: Member, what: str, known: Iterable[str]) -> None:
    """Note that nobody knows this key, with the known one that was probably meant."""
    meant = "" if spot.document.is_full else did_you_mean(member.key, known)
    key_problem(spot, member, f"unknown {what} '{shortened(member.key)}'{meant}")


def items(spot: Spot) -> Iterator[Spot]:
    """The items of an array; a value that is no array is a problem and has none."""
    if not isinstance(spot.node.value, Array):
        spot.expected("an array")
        return
    for index, node in enumerate(spot.node.value.nodes):
        yield spot.within(index, node)


def named(spot: Spot, reader: Reader[T], check: Callable[[str], str | None]) -> dict[str, T]:
    """An object whose keys are names: lower-cased, checked (`check` says what is wrong with one), each given once."""
    found: dict[str, T] = {}
    for member, inner in members(spot):
        name = member.key.lower()
        complaint = check(name)
        if complaint is not None:
            key_problem(inner, member, complaint)
        value = reader(inner)
        if name in found:
            key_problem(inner, member, f"'{name}' is given twice (names have no case)")
        elif value is not None and complaint is None:
            found[name] = value
    return found


def all_of(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """An array of which every item is read; those that cannot be are left out."""

    def read(spot: Spot) -> tuple[T, ...] | None:
        values = tuple(value for item in items(spot) if (value := reader(item)) is not None)
        return values if isinstance(spot.node.value, Array) else None

    return read


def text(spot: Spot) -> str | None:
    """A text that a process can be given."""
    value = spot.node.value
    if not isinstance(value, str):
        spot.expected("a text")
    elif "\0" in value:
        spot.problem("a text that a process is given cannot hold a NUL character")
    elif len(value.encode()) > MAX_TEXT_BYTES:
        spot.problem(f"a text takes at most {MAX_TEXT_BYTES} bytes")
    else:
        return value
    return None


texts: Final = all_of(text)


def text_like(pattern: str, what: str) -> Reader[str]:
    """A text of a given form, which `what` names."""
    compiled = re.compile(pattern)

    def read(spot: Spot) -> str | None:
        value = text(spot)
        if value is None or compiled.fullmatch(value) is not None:
            return value
        spot.expected(what)
        return None

    return read


def whole(least: int, most: int = MAX_INTEGER) -> Reader[int]:
    """A whole number within bounds."""

    def read(spot: Spot) -> int | None:
        value = spot.node.value
        if isinstance(value, Number) and value.is_integer and least <= int(value.text) <= most:
            return int(value.text)
        spot.expected(f"a whole number from {least} to {most}")
        return None

    return read


def truth(spot: Spot) -> bool | None:
    """true or false."""
    if isinstance(spot.node.value, bool):
        return spot.node.value
    spot.expected("true or false")
    return None


def one_of(words: type[E]) -> Reader[E]:
    """One of the words of an enumeration, spelled exactly."""
    by_word = {word.value: word for word in words}

    def read(spot: Spot) -> E | None:
        value = spot.node.value
        if isinstance(value, str) and value in by_word:
            return by_word[value]
        spot.expected(either(list(by_word)))
        return None

    return read


def either(words: Sequence[str]) -> str:
    """`"a", "b" or "c"`, for messages."""
    quoted = [f'"{word}"' for word in words]
    return " or ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))
