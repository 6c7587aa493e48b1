"""The members of one JSON object, taken key by key, and everything that is wrong with them.

Between the text (`strict_json`) and what a key means (`overrides`): what every key has in common stands here.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final, TypeVar

from slimjobs.core.configuration.nearest import did_you_mean
from slimjobs.core.decide.refusals import Problem
from slimjobs.http.strict_json import UNSAFE, Members, Number, Value, kind_of, pointer_to, shown

MAX_STRING_BYTES: Final = 128 * 1024 - 1  # Linux takes no longer argument or variable (MAX_ARG_STRLEN)
MAX_STRINGS: Final = 1000
MAX_SUGGESTIONS: Final = 100  # each costs a comparison with every known key, and a body holds ten thousands of keys

MAX_INTEGER: Final = 2**31 - 1  # Kubernetes keeps these numbers as int32

# However it is written (JSON knows no integers: 1.0 and 1e3 are such), but not at any length.
_SHORT_NUMBER: Final = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?([eE][+-]?[0-9]{1,2})?")

T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)
Reader = Callable[[Value, str, "Trouble"], T | None]


class Trouble:
    """What is wrong with a body: all of it, up to a limit that keeps the answer in proportion."""

    def __init__(self, limit: int = 100) -> None:
        self.problems: list[Problem] = []
        self.unlisted = 0
        self._limit = limit
        self._suggestions = MAX_SUGGESTIONS

    def add(self, pointer: str, detail: str) -> None:
        """Note one problem; beyond the limit it is only counted."""
        if len(self.problems) < self._limit:
            self.problems.append(Problem(pointer, detail))
        else:
            self.unlisted += 1

    def unknown(self, pointer: str, word: str, known: Iterable[str]) -> None:
        """Note a key that nobody knows, with the one that was probably meant."""
        self._suggestions -= 1
        meant = did_you_mean(word, known) if self._suggestions >= 0 else ""
        self.add(pointer, f"unknown key '{shown(word)}'{meant}")


class Fields:
    """The known members of one object. Keys match without regard to case; a null is as good as an absent key."""

    def __init__(self, members: Members, known: Mapping[str, str], pointer: str, trouble: Trouble) -> None:
        """Note every unknown and every repeated key. `known` leads from the folded key to the known one."""
        self.pointer = pointer
        self._trouble = trouble
        self._found: dict[str, tuple[str, Value]] = {}
        for written, value in members:
            key = known.get(written.lower())
            if key is None:
                trouble.unknown(pointer_to(pointer, written), written, known.values())
            elif key in self._found:
                trouble.add(pointer_to(pointer, written), f"'{key}' is given twice")
            else:
                self._found[key] = (written, value)

    def take(self, key: str, reader: Reader[T]) -> T | None:
        """What stands under the key, as its reader gives it; None if nothing does or it cannot be read."""
        found = self._found.get(key)
        if found is None or found[1] is None:
            return None
        return reader(found[1], pointer_to(self.pointer, found[0]), self._trouble)

    def need(self, key: str, reader: Reader[T]) -> T | None:
        """As `take`; a key that is absent is noted."""
        if self._found.get(key, ("", None))[1] is None:
            self._trouble.add(self.pointer, f"'{key}' is missing")
        return self.take(key, reader)


def folded(*keys: str) -> Mapping[str, str]:
    """The known keys by what they are matched with."""
    return {key.lower(): key for key in keys}


def string(value: Value, pointer: str, trouble: Trouble) -> str | None:
    """A string that a container can be given."""
    if not isinstance(value, str) or isinstance(value, Number):
        trouble.add(pointer, f"takes a string, not {kind_of(value)}")
    elif UNSAFE.search(value):
        trouble.add(pointer, "a string may not hold a NUL character or half a surrogate pair")
    elif len(value) > MAX_STRING_BYTES or len(value.encode()) > MAX_STRING_BYTES:
        trouble.add(pointer, f"a string has at most {MAX_STRING_BYTES} bytes")
    else:
        return value
    return None


def strings(value: Value, pointer: str, trouble: Trouble) -> tuple[str, ...] | None:
    """An array of strings."""
    if not isinstance(value, list):
        trouble.add(pointer, f"takes an array of strings, not {kind_of(value)}")
    elif len(value) > MAX_STRINGS:
        trouble.add(pointer, f"takes at most {MAX_STRINGS} strings")
    else:
        read = [string(item, pointer_to(pointer, at), trouble) for at, item in enumerate(value)]
        return tuple(item for item in read if item is not None)
    return None


def integer(value: Value, pointer: str, trouble: Trouble) -> int | None:
    """A whole number that Kubernetes can keep."""
    if isinstance(value, Number) and _SHORT_NUMBER.fullmatch(value):
        number = Decimal(value)
        if 0 <= number <= MAX_INTEGER and number == int(number):
            return int(number)
    written = shown(value) if isinstance(value, Number) else kind_of(value)
    trouble.add(pointer, f"takes a whole number from 0 to {MAX_INTEGER}, not {written}")
    return None


def truth(value: Value, pointer: str, trouble: Trouble) -> bool | None:
    """True or false."""
    if isinstance(value, bool):
        return value
    trouble.add(pointer, f"takes true or false, not {kind_of(value)}")
    return None


def one_of(words: type[E]) -> Reader[E]:
    """A reader of one of these words."""
    known = {str(word): word for word in words}

    def read(value: Value, pointer: str, trouble: Trouble) -> E | None:
        word = known.get(value) if isinstance(value, str) else None
        if word is None:
            trouble.add(pointer, f"takes one of {', '.join(known)}")
        return word

    return read


def members(value: Value, pointer: str, trouble: Trouble) -> Members | None:
    """An object."""
    if isinstance(value, Members):
        return value
    trouble.add(pointer, f"takes an object, not {kind_of(value)}")
    return None
