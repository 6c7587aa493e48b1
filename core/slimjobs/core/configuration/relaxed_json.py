"""JSON as people write it in a ConfigMap: the first step from text to definitions.

Beside strict JSON (RFC 8259) it takes `#`, `//` and `/* */` comments and trailing commas, and nothing else. What comes
out is a tree that knows where every value and every key stands, so that the checks that follow (`reading`) can name
line and column; and a list of everything that is wrong with the text, not only the first thing.

Mistakes that leave the structure clear (a missing comma, a bad escape, a bare word) are reported and read over; a value
that could not be read is `Unreadable` in the tree, so that nobody reports it a second time. Brackets that do not match
end the reading: all that followed would be a guess.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from slimjobs.core.configuration.problems import Path, Problem, path_text

MAX_CHARACTERS: Final = 4 * 1024 * 1024  # a ConfigMap holds 1 MiB
MAX_DEPTH: Final = 64  # a pod template nests about fifteen deep
MAX_PROBLEMS: Final = 100  # as many are listed; the rest is counted
MAX_NUMBER_CHARACTERS: Final = 40
MAX_INTEGER: Final = 2**63 - 1


class Number(msgspec.Struct, frozen=True):
    """A number as it was written: quantities must not pass through a float."""

    text: str

    @property
    def is_integer(self) -> bool:
        return not any(mark in self.text for mark in ".eE")


class Unreadable(msgspec.Struct, frozen=True):
    """Stands where a value could not be read; its problem is already reported."""


class Node(msgspec.Struct, frozen=True):
    """A value and the offset of its first character."""

    value: Value
    at: int


class Member(msgspec.Struct, frozen=True):
    """A key of an object, the offset of its quote, and its value."""

    key: str
    at: int
    node: Node


class Object(msgspec.Struct, frozen=True):
    members: tuple[Member, ...]


class Array(msgspec.Struct, frozen=True):
    nodes: tuple[Node, ...]


Value = None | bool | str | Number | Array | Object | Unreadable
PlainValue = None | bool | str | int | float | list["PlainValue"] | dict[str, "PlainValue"]


class Position(NamedTuple):
    """Where something stands, both counted from one; columns count characters."""

    line: int
    column: int


class Document:
    """A text that was read: its tree (None if nothing of it could be read), its problems, and its lines."""

    def __init__(self, text: str) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self.unlisted = 0
        self._noted: set[int] = set()
        self._newlines = [match.start() for match in re.finditer("\n", text)]

    def position(self, at: int) -> Position:
        """Line and column of the character at this offset."""
        line = bisect.bisect_left(self._newlines, at)
        start = self._newlines[line - 1] + 1 if line else 0
        return Position(line + 1, at - start + 1)

    def problem(self, path: Path, at: int, text: str) -> None:
        """Note that what stands at this offset is wrong."""
        self._noted.add(at)
        if self.is_full:
            self.unlisted += 1
        else:
            self.problems.append(Problem(path_text(path), *self.position(at), text))

    @property
    def is_full(self) -> bool:
        """Whether as many problems as are listed are known: no effort need go into the wording of more."""
        return len(self.problems) >= MAX_PROBLEMS

    def is_noted(self, at: int) -> bool:
        """Whether something that stands at this offset is already known to be wrong."""
        return at in self._noted


def parse(source: str | bytes) -> Document:
    """The document that this text or these UTF-8 bytes hold; never raises, whatever they are."""
    text = source.decode("utf-8", "surrogateescape") if isinstance(source, bytes) else source
    document = Document(text)
    if len(text) > MAX_CHARACTERS:
        document.problem((), 0, f"the text has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    elif (bad := _SURROGATE.search(text)) is not None:
        document.problem((), bad.start(), "the text is not valid UTF-8 here")
    else:
        _Parser(text, document).run()
    return document


def plain(node: Node) -> PlainValue:
    """The value as ordinary Python values; numbers become int or float."""
    value = node.value
    if isinstance(value, Object):
        return {member.key: plain(member.node) for member in value.members}
    if isinstance(value, Array):
        return [plain(item) for item in value.nodes]
    if isinstance(value, Number):
        return int(value.text) if value.is_integer else float(value.text)
    return None if isinstance(value, Unreadable) else value


def is_readable(node: Node) -> bool:
    """Whether nothing in this tree was given up by the parser."""
    if isinstance(node.value, Object):
        return all(is_readable(member.node) for member in node.value.members)
    if isinstance(node.value, Array):
        return all(is_readable(item) for item in node.value.nodes)
    return not isinstance(node.value, Unreadable)


_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# No group is possessive: Python before 3.11.5 leaves its position moved when such a group fails half-way.
_SPACE: Final = re.compile(r"(?:[ \t\n\r]++|#[^\n]*+|//[^\n]*+|/\*.*?\*/)*", re.DOTALL)
_PLAIN_STRING: Final = re.compile(r'"([^"\\\x00-\x1f]*+)"')
_STRING_CHUNK: Final = re.compile(r'[^"\\\x00-\x1f]*+')
_SINGLE_QUOTED: Final = re.compile(r"'[^'\n]*+'")
_WORD: Final = re.compile(r"[^\s,:\[\]{}\"'#/]++")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_FOUR_HEX: Final = re.compile(r"[0-9a-fA-F]{4}")

_WORDS: Final = {"true": True, "false": False, "null": None}
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_UNREADABLE: Final = Unreadable()


class _Stop(Exception):
    """The rest of the text cannot be read any more; the reason is already among the problems."""


class _Parser:
    """A recursive descent over the text; the depth is bounded, so the recursion is too."""

    def __init__(self, text: str, document: Document) -> None:
        self.text = text
        self.document = document
        self.at = 0
        self.path: list[str | int] = []

    def run(self) -> None:
        try:
            self.at = 1 if self.text.startswith("\ufeff") else 0  # a byte order mark is no part of the text
            self.skip_space()
            self.document.root = self.node()
            self.skip_space()
            if self.at < len(self.text):
                self.report(self.at, f"expected the end of the text, found {self.found()}")
        except _Stop:
            self.document.root = None

    def report(self, at: int, text: str) -> None:
        self.document.problem(self.path, at, text)
        if self.document.is_full:
            raise _Stop

    def stop(self, at: int, text: str) -> _Stop:
        self.report(at, text)
        return _Stop()

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def found(self) -> str:
        """What stands here, in words for a message."""
        character = self.peek()
        if character == "":
            return "the end of the text"
        word = _WORD.match(self.text, self.at)
        if word is not None and word.group().isprintable():
            return f"'{shortened(word.group())}'"
        return f"'{character}'" if character.isprintable() else f"the character U+{ord(character):04X}"

    def skip_space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        if self.text.startswith("/*", self.at):
            raise self.stop(self.at, "this comment never ends: expected '*/'")

    def node(self) -> Node:
        at = self.at
        match self.peek():
            case "{":
                return Node(Object(tuple(self.members(at))), at)
            case "[":
                return Node(Array(tuple(self.items(at))), at)
            case '"':
                return Node(self.string(), at)
            case "," | "}" | "]" | "":
                self.report(at, f"expected a value, found {self.found()}")
                return Node(_UNREADABLE, at)
            case _:
                return Node(self.word(), at)

    def enter(self, at: int) -> None:
        if len(self.path) >= MAX_DEPTH:
            raise self.stop(at, f"nested deeper than {MAX_DEPTH}")
        self.at += 1
        self.skip_space()

    def items(self, opened: int) -> Iterator[Node]:
        self.enter(opened)
        index = 0
        while self.peek() != "]":
            self.path.append(index)
            yield self.node()
            self.path.pop()
            self.comma("]", opened)
            index += 1
        self.at += 1

    def members(self, opened: int) -> Iterator[Member]:
        self.enter(opened)
        seen: dict[str, int] = {}
        while self.peek() != "}":
            at = self.at
            key = self.key()
            if key is not None:
                self.path.append(key)
                if key in seen:
                    line = self.document.position(seen[key]).line
                    self.report(at, f"the key is given twice: already in line {line}")
                seen.setdefault(key, at)
                yield Member(key, at, self.member_value())
                self.path.pop()
            self.comma("}", opened)
        self.at += 1

    def key(self) -> str | None:
        at = self.at
        if self.peek() == '"':
            key = self.string()
            return key if isinstance(key, str) else self.text[at + 1 : self.at - 1]
        self.report(at, f"expected a key in double quotes or '}}', found {self.found()}")
        if self.peek() == ",":
            return None
        word = _SINGLE_QUOTED.match(self.text, at) or _WORD.match(self.text, at)
        if word is None:
            raise _Stop
        self.at = word.end()
        return word.group().strip("'")

    def member_value(self) -> Node:
        self.skip_space()
        if self.peek() == ":":
            self.at += 1
            self.skip_space()
            return self.node()
        self.report(self.at, f"expected ':' after the key, found {self.found()}")
        return Node(_UNREADABLE, self.at) if self.peek() in {",", "}", ""} else self.node()

    def comma(self, closing: str, opened: int) -> None:
        """Pass the comma after a member or item; leave its closing bracket to the caller."""
        self.skip_space()
        character = self.peek()
        if character == ",":
            self.at += 1
            self.skip_space()
        elif character == "" or (character in "}]:" and character != closing):
            line = self.document.position(opened).line
            opening = self.text[opened]
            expected = f"expected ',' or '{closing}' for the '{opening}' of line {line}"
            raise self.stop(self.at, f"{expected}, found {self.found()}")
        elif character != closing:
            self.report(self.at, f"expected ',' or '{closing}', found {self.found()}")

    def word(self) -> Value:
        at = self.at
        quoted = _SINGLE_QUOTED.match(self.text, at)
        if quoted is not None:
            self.at = quoted.end()
            self.report(at, "a text takes double quotes, not single ones")
            return _UNREADABLE
        match = _WORD.match(self.text, at)
        if match is None:
            raise self.stop(at, f"expected a value, found {self.found()}")
        self.at = match.end()
        word = match.group()
        if word in _WORDS:
            return _WORDS[word]
        complaint = number_complaint(word)
        if complaint is None:
            return Number(word)
        self.report(at, complaint)
        return _UNREADABLE

    def string(self) -> Value:
        simple = _PLAIN_STRING.match(self.text, self.at)
        if simple is not None:
            self.at = simple.end()
            return simple.group(1)
        opened = self.at
        self.at += 1
        problems = len(self.document.problems)
        parts = list(self.string_parts(opened))
        return "".join(parts) if len(self.document.problems) == problems else _UNREADABLE

    def string_parts(self, opened: int) -> Iterator[str]:
        while True:
            chunk = _STRING_CHUNK.match(self.text, self.at)
            if chunk is not None:
                yield chunk.group()
                self.at = chunk.end()
            match self.peek():
                case '"':
                    self.at += 1
                    return
                case "\\":
                    yield self.escape()
                case "" | "\n" | "\r":
                    raise self.stop(opened, "this text never ends: expected '\"' on the same line")
                case control:
                    escaped = f"\\u{ord(control):04x}"
                    self.report(self.at, f"a control character must be written as {escaped} in a text")
                    self.at += 1

    def escape(self) -> str:
        at = self.at
        mark = self.text[at + 1 : at + 2]
        if mark == "u":
            return self.unicode_escape()
        self.at += 2 if mark and mark not in "\r\n" else 1
        if mark not in _ESCAPES:
            self.report(at, f"unknown escape '\\{mark}': expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX")
        return _ESCAPES.get(mark, "")

    def unicode_escape(self) -> str:
        at = self.at
        unit = self.code_unit()
        if unit is None:
            self.at += 2
            self.report(at, "'\\u' takes four hexadecimal digits")
            return ""
        if not 0xD800 <= unit <= 0xDFFF:
            return chr(unit)
        low = self.code_unit() if unit < 0xDC00 else None
        if low is None or not 0xDC00 <= low <= 0xDFFF:
            self.report(at, f"\\u{unit:04x} is half of a surrogate pair and stands alone")
            return ""
        return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))

    def code_unit(self) -> int | None:
        digits = _FOUR_HEX.match(self.text, self.at + 2) if self.text.startswith("\\u", self.at) else None
        if digits is None:
            return None
        self.at = digits.end()
        return int(digits.group(), 16)


def number_complaint(word: str) -> str | None:
    """Why this bare word is no number that can be taken, or None if it is one."""
    if _NUMBER.fullmatch(word) is None:
        return f"expected a value, found '{shortened(word)}' (a text takes double quotes)"
    if len(word) > MAX_NUMBER_CHARACTERS:
        return f"a number takes at most {MAX_NUMBER_CHARACTERS} characters"
    if Number(word).is_integer:
        return f"the number is beyond {MAX_INTEGER}" if abs(int(word)) > MAX_INTEGER else None
    return "the number is too large" if float(word) in {float("inf"), float("-inf")} else None


def shortened(text: str, most: int = 40) -> str:
    """The text, or its beginning if it is long, for a message of one line."""
    return text if len(text) <= most else text[: most - 1] + "…"
