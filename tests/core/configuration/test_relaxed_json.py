"""The JSON of a ConfigMap: what it takes beside strict JSON, and what it says about everything else."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimjobs.core.configuration.relaxed_json import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_PROBLEMS,
    Array,
    Number,
    Object,
    parse,
    plain,
)


def read(text: str | bytes) -> Any:  # Any: whatever JSON holds, compared with literals
    document = parse(text)
    assert document.problems == []
    assert document.root is not None
    return plain(document.root)


def complaints(text: str | bytes) -> list[tuple[str, int, int, str]]:
    return [(problem.path, problem.line, problem.column, problem.text) for problem in parse(text).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, # to the end of the line\n "b": 2}', {"a": 1, "b": 2}),
        ('{"a": 1, // to the end of the line\n "b": 2}', {"a": 1, "b": 2}),
        ('{"a": /* between , ] } things */ 1}', {"a": 1}),
        ('/* first */ # second\n // third\n {"a": 1} # last', {"a": 1}),
        ('{"a": [1, 2,], "b": {"c": 1,},}', {"a": [1, 2], "b": {"c": 1}}),
        ('{"a": "# no // comment /* here */"}', {"a": "# no // comment /* here */"}),
        ("[1//one\n,2#two\n]", [1, 2]),
        ('{"a":1,/* ** / */"b":2}', {"a": 1, "b": 2}),
        ("\ufeff[]", []),
        ('"\\u00e9\\ud83d\\ude00\\n\\/"', "é😀\n/"),
        ("[-0, 0.5, 1e3, 2E-1, true, false, null]", [0, 0.5, 1000.0, 0.2, True, False, None]),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_comments_and_trailing_commas_are_read_over(text: str, value: object) -> None:
    assert read(text) == value
    assert read(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "path", "line", "column", "words"),
    [
        ("", "$", 1, 1, "expected a value, found the end of the text"),
        ('{"a": 1', "$", 1, 8, "expected ',' or '}' for the '{' of line 1, found the end of the text"),
        ('{"a": 1]', "$", 1, 8, "for the '{' of line 1, found ']'"),
        ('{\n "a" 1}', "$.a", 2, 6, "expected ':' after the key, found '1'"),
        ('{"a": 1 "b": 2}', "$", 1, 9, "expected ',' or '}', found '\"'"),
        ('{"a": }', "$.a", 1, 7, "expected a value, found '}'"),
        ('{"a"}', "$.a", 1, 5, "expected ':' after the key, found '}'"),
        ("{a: 1}", "$", 1, 2, "expected a key in double quotes or '}', found 'a'"),
        ("{'a': 1}", "$", 1, 2, "expected a key in double quotes"),
        ("{,}", "$", 1, 2, "expected a key in double quotes"),
        ("{[]: 1}", "$", 1, 2, "expected a key in double quotes"),
        ("['a']", "$[0]", 1, 2, "double quotes"),
        ("[1,,2]", "$[1]", 1, 4, "expected a value, found ','"),
        ("[1 2]", "$", 1, 4, "expected ',' or ']', found '2'"),
        ("[1] 2", "$", 1, 5, "expected the end of the text, found '2'"),
        ("[True]", "$[0]", 1, 2, "expected a value, found 'True'"),
        ("[NaN]", "$[0]", 1, 2, "expected a value, found 'NaN'"),
        ("[Infinity]", "$[0]", 1, 2, "expected a value"),
        ("[012]", "$[0]", 1, 2, "expected a value, found '012'"),
        ("[+1]", "$[0]", 1, 2, "expected a value, found '+1'"),
        ("[1.]", "$[0]", 1, 2, "expected a value, found '1.'"),
        ("[.5]", "$[0]", 1, 2, "expected a value"),
        ("[0x10]", "$[0]", 1, 2, "expected a value"),
        ("[1e999]", "$[0]", 1, 2, "the number is too large"),
        ("[9223372036854775808]", "$[0]", 1, 2, "beyond 9223372036854775807"),
        ("[" + "9" * 5000 + "]", "$[0]", 1, 2, "at most 40 characters"),
        ('["a\\qb"]', "$[0]", 1, 4, "unknown escape '\\q'"),
        ('["a\\u12"]', "$[0]", 1, 4, "four hexadecimal digits"),
        ('["\\ud800"]', "$[0]", 1, 3, "half of a surrogate pair"),
        ('["\\udc00"]', "$[0]", 1, 3, "half of a surrogate pair"),
        ('["\\ud800\\u0041"]', "$[0]", 1, 3, "half of a surrogate pair"),
        ('["a\tb"]', "$[0]", 1, 4, "must be written as \\u0009"),
        ('["a\nb"]', "$[0]", 1, 2, "never ends"),
        ('["a', "$[0]", 1, 2, "never ends"),
        ('["a\\', "$[0]", 1, 4, "unknown escape"),
        ("[1 /* 2]", "$", 1, 4, "this comment never ends"),
        ("[1 / 2]", "$", 1, 4, "expected ',' or ']', found '/'"),
        ("[\u00a01]", "$[0]", 1, 2, "found the character U+00A0"),
        ("[:]", "$[0]", 1, 2, "expected a value, found ':'"),
        ('{"a": 1, "b": 2,\n  "a": 3}', "$.a", 2, 3, "given twice: already in line 1"),
        ('{"my key": [{"x": oops}]}', "$['my key'][0].x", 1, 19, "found 'oops'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, path: str, line: int, column: int, words: str) -> None:
    first = complaints(text)[0]
    assert first[:3] == (path, line, column)
    assert words in first[3]


def test_all_mistakes_are_found_in_one_reading() -> None:
    text = '{\n  "a": True,\n  b: 2,\n  "c" 3,\n  "d": [1 2],\n  "e": "\\q",\n  "a": 4\n}'
    assert [(line, column) for _, line, column, _ in complaints(text)] == [
        (2, 8),
        (3, 3),
        (4, 7),
        (5, 11),
        (6, 9),
        (7, 3),
    ]


def test_what_could_be_read_is_in_the_tree_beside_what_could_not() -> None:
    document = parse('{"good": 1, "bad": oops, "also good": [2]}')
    assert document.root is not None
    assert plain(document.root) == {"good": 1, "bad": None, "also good": [2]}


def test_every_value_and_every_key_knows_its_place() -> None:
    document = parse('{\n  "é": [10,\n    "x"]\n}')
    assert document.root is not None
    assert isinstance(document.root.value, Object)
    (member,) = document.root.value.members
    assert document.position(member.at) == (2, 3)
    assert document.position(member.node.at) == (2, 8)
    assert isinstance(member.node.value, Array)
    ten, x = member.node.value.nodes
    assert (document.position(ten.at), document.position(x.at)) == ((2, 9), (3, 5))
    assert ten.value == Number("10")


def test_bytes_that_are_no_utf_8_are_refused_where_they_stand() -> None:
    assert complaints(b'{"a":\n "\xff"}') == [("$", 2, 3, "the text is not valid UTF-8 here")]
    assert complaints(b'["\xed\xa0\x80"]')[0][1:3] == (1, 3)


def test_depth_is_bounded() -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert complaints("[" * 100_000)[0][1:] == (1, MAX_DEPTH + 1, f"nested deeper than {MAX_DEPTH}")
    assert "nested deeper" in complaints('{"a":' * 100_000)[0][3]


def test_size_and_problems_are_bounded() -> None:
    assert "at most" in complaints(" " * (MAX_CHARACTERS + 1))[0][3]
    assert len(complaints("[" + "oops," * 1000 + "]")) == MAX_PROBLEMS


def test_a_mebibyte_is_read_in_a_second_or_so() -> None:
    entry = {"Image": "registry/image:latest", "Args": ["42", "x"], "BackoffLimit": 1, "Limits": {"cpu": "1"}}
    text = json.dumps({f"job-{number}": entry for number in range(9000)}, indent=1)
    assert len(text) > 1024 * 1024
    started = time.process_time()
    document = parse(text)
    assert document.problems == []
    assert time.process_time() - started < 5


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
spaces = st.sampled_from(["", " ", "\n", "\t", "# c\n", "// c }\n", "/* ] */", "\r\n"])


@given(json_values, st.booleans(), st.sampled_from([None, 0, 2]))
def test_all_strict_json_is_read_as_it_was_written(value: object, ascii_only: bool, indent: int | None) -> None:
    assert read(json.dumps(value, ensure_ascii=ascii_only, indent=indent)) == value


@given(json_values, st.data())
def test_comments_between_any_two_tokens_change_nothing(value: object, drawn: st.DataObject) -> None:
    def write(part: object) -> str:
        space = drawn.draw(spaces)
        comma = drawn.draw(st.sampled_from(["", ","]))
        if isinstance(part, list):
            inner = ",".join(write(item) for item in part)
            return f"{space}[{inner}{comma if part else space}]{space}"
        if isinstance(part, dict):
            inner = ",".join(f"{space}{json.dumps(key)}{space}:{write(item)}" for key, item in part.items())
            return f"{space}{{{inner}{comma if part else space}}}{space}"
        return f"{space}{json.dumps(part)}{space}"

    assert read(write(value)) == value


@given(st.text() | st.text(alphabet='{}[]",:\\/*#1e.-tn \n') | st.binary())
def test_any_text_is_answered_with_a_tree_or_with_problems(text: str | bytes) -> None:
    document = parse(text)
    assert document.root is not None or document.problems


@given(st.text(alphabet='{}[]",:1tn \n', max_size=60))
def test_what_strict_json_takes_this_takes_and_what_this_refuses_strict_json_refuses(text: str) -> None:
    try:
        strict = json.loads(text)
    except ValueError:
        return
    document = parse(text)
    duplicates = [problem for problem in document.problems if "given twice" in problem.text]
    assert document.problems == duplicates
    assert document.root is not None
    assert duplicates or plain(document.root) == strict
