"""Bodies: what is taken, what is refused, and that everything wrong is told at once, with its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slimjobs.core.decide.refusals import Problem
from slimjobs.eventlog.events.definitions import EnvironmentVariable, Overrides, Resources, RestartPolicy
from slimjobs.http.bodies import MAX_BATCH, BadBody, Line, read_batch, read_trigger
from slimjobs.http.fields import MAX_STRING_BYTES
from slimjobs.http.overrides import OVERRIDES


def problems_of(body: bytes | Any) -> dict[str, str]:
    """Pointer -> detail of what is wrong with a trigger's body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(BadBody) as refused:
        read_trigger(content)
    return {problem.pointer: problem.detail for problem in refused.value.problems}


@pytest.mark.parametrize("body", [b"", b" \r\n\t", b"{}", b'{"Args": null}'])
def test_an_empty_body_overrides_nothing(body: bytes) -> None:
    assert read_trigger(body) == Overrides()


def test_every_key_of_the_specification_is_read() -> None:
    body = {
        "Image": "axaguildev/fibonacci-batch:1.0.1",
        "Args": ["42", "43"],
        "DependsOn": ["fibonacci2"],
        "Resources": {"Requests": {"cpu": "0.2", "memory": "204800Ki"}, "Limits": {"cpu": 1}},
        "Environments": [
            {"name": "A", "value": "1"},
            {"Name": "B", "Value": ""},
            {"name": "C"},
            {"name": "D", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        ],
        "BackoffLimit": 1,
        "TtlSecondsAfterFinished": 100,
        "RestartPolicy": "OnFailure",
    }
    assert read_trigger(json.dumps(body).encode()) == Overrides(
        args=("42", "43"),
        image="axaguildev/fibonacci-batch:1.0.1",
        resources=Resources({"cpu": "200m", "memory": "200Mi"}, {"cpu": "1"}),
        environments=(
            EnvironmentVariable("A", "1"),
            EnvironmentVariable("B", ""),
            EnvironmentVariable("C", ""),
            EnvironmentVariable("D", None, b'{"secretKeyRef":{"key":"k","name":"s","optional":true}}'),
        ),
        depends_on=("fibonacci2",),
        backoff_limit=1,
        ttl_seconds_after_finished=100,
        restart_policy=RestartPolicy.ON_FAILURE,
    )


def test_an_empty_list_clears_where_an_absent_one_leaves() -> None:
    assert read_trigger(b'{"DependsOn": [], "Args": []}') == Overrides(args=(), depends_on=())


def test_an_empty_image_means_that_of_the_definition() -> None:
    assert read_trigger(b'{"Image": ""}') == Overrides()


@given(st.lists(st.sampled_from(sorted(OVERRIDES.values())), unique=True), st.randoms(use_true_random=False))
def test_keys_match_in_any_case_and_order(keys: list[str], chance: Any) -> None:
    values: dict[str, Any] = {
        "Args": ["x"],
        "Image": "i",
        "Resources": {},
        "Environments": [],
        "DependsOn": [],
        "BackoffLimit": 3,
        "TtlSecondsAfterFinished": 4,
        "RestartPolicy": "Never",
    }
    usual = {key: values[key] for key in keys}
    shuffled = chance.sample(keys, len(keys))
    odd = {"".join(chance.choice((c.lower(), c.upper())) for c in key): values[key] for key in shuffled}
    assert read_trigger(json.dumps(odd).encode()) == read_trigger(json.dumps(usual).encode())


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        (b"{", "", "not JSON"),
        (b'{"Args": [1,]}', "", "not JSON"),
        (b"{'Args': []}", "", "not JSON"),
        (b'{"Args": []} {}', "", "not JSON: Extra data"),
        (b'{"Args": [] // all\n}', "", "not JSON"),
        (b'{"BackoffLimit": NaN}', "", "NaN is no JSON number"),
        (b'{"BackoffLimit": 01}', "", "not JSON"),
        (b'"text"', "", "the body is an object, not a string"),
        (b"[]", "", "the body is an object, not an array"),
        (b"null", "", "the body is an object, not null"),
        (b'{"Args": ["\xff"]}', "", "not UTF-8 (at byte 11)"),
        (b"\xef\xbb\xbf{}", "", "not JSON"),
        (b"\xff\xfe{\x00}\x00", "", "not UTF-8"),
        (b'{"Args": ["a\nb"]}', "", "not JSON: Invalid control character"),
        (b"[" * 100_000, "", "nested too deeply"),
        (b'{"Args":' * 30_000, "", "nested too deeply"),
        (b'{"Args": ["\\ud800"]}', "/Args/0", "half a surrogate pair"),
        (b'{"Args": ["\\u0000"]}', "/Args/0", "NUL"),
        (b'{"Imge": "x"}', "/Imge", "unknown key 'Imge'; did you mean 'Image'?"),
        (b'{"\\ud800": 1}', "/\\ud800", "unknown key"),
        (b'{"a/b~c": 1}', "/a~1b~0c", "unknown key"),
        (b'{"Args": [], "Args": []}', "/Args", "'Args' is given twice"),
        (b'{"Args": [], "aRGS": []}', "/aRGS", "'Args' is given twice"),
        (b'{"\\u0041rgs": [], "Args": []}', "/Args", "'Args' is given twice"),
        (b'{"Args": "42"}', "/Args", "takes an array of strings, not a string"),
        (b'{"Args": [42]}', "/Args/0", "takes a string, not a number"),
        (b'{"Args": [null]}', "/Args/0", "takes a string, not null"),
        (b'{"Image": ["x"]}', "/Image", "takes a string, not an array"),
        (b'{"Image": "a b"}', "/Image", "no spaces"),
        (b'{"BackoffLimit": -1}', "/BackoffLimit", "a whole number from 0 to 2147483647, not -1"),
        (b'{"BackoffLimit": 2147483648}', "/BackoffLimit", "not 2147483648"),
        (b'{"BackoffLimit": 1.5}', "/BackoffLimit", "not 1.5"),
        (b'{"BackoffLimit": 1e400}', "/BackoffLimit", "not 1e400"),
        (b'{"BackoffLimit": true}', "/BackoffLimit", "not a boolean"),
        (b'{"BackoffLimit": "1"}', "/BackoffLimit", "not a string"),
        (b'{"BackoffLimit": ' + b"9" * 100_000 + b"}", "/BackoffLimit", "whole number"),
        (b'{"RestartPolicy": "Always"}', "/RestartPolicy", "takes one of Never, OnFailure"),
        (b'{"DependsOn": ["Not_A_Name"]}', "/DependsOn/0", "cannot be the name"),
        (b'{"Resources": []}', "/Resources", "takes an object, not an array"),
        (b'{"Resources": {"limit": {}}}', "/Resources/limit", "did you mean 'Limits'?"),
        (b'{"Resources": {"Limits": {"cpu": "1x"}}}', "/Resources/Limits/cpu", "cannot be read"),
        (b'{"Resources": {"Limits": {"cpu": "-1"}}}', "/Resources/Limits/cpu", "not negative"),
        (b'{"Resources": {"Limits": {"cpu": null}}}', "/Resources/Limits/cpu", "not null"),
        (b'{"Resources": {"Limits": {"cpu": "1e999999"}}}', "/Resources/Limits/cpu", "cannot be read"),
        (b'{"Resources": {"Limits": {"cpu": "1", "cpu": "2"}}}', "/Resources/Limits/cpu", "given twice"),
        (b'{"Environments": {}}', "/Environments", "takes an array of variables"),
        (b'{"Environments": ["A"]}', "/Environments/0", "takes an object, not a string"),
        (b'{"Environments": [{"value": "x"}]}', "/Environments/0", "'name' is missing"),
        (b'{"Environments": [{"name": ""}]}', "/Environments/0/name", "not empty"),
        (b'{"Environments": [{"name": "A=B"}]}', "/Environments/0/name", "no '='"),
        (b'{"Environments": [{"name": "A", "value": 1}]}', "/Environments/0/value", "takes a string"),
        (b'{"Environments": [{"name": "A"}, {"name": "A"}]}', "/Environments/1", "set twice"),
        (b'{"Environments": [{"name": "A", "valueFrom": {}}]}', "/Environments/0/valueFrom", "exactly one"),
        (
            b'{"Environments": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {}}}]}',
            "/Environments/0",
            "not both",
        ),
        (
            b'{"Environments": [{"name": "A", "valueFrom": {"secretRef": {}}}]}',
            "/Environments/0/valueFrom/secretRef",
            "did you mean 'secretKeyRef'?",
        ),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_what_cannot_be_taken_is_refused_with_its_place(body: bytes, pointer: str, detail: str) -> None:
    assert detail in problems_of(body)[pointer]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    wrong = {"Imge": 1, "Args": [1, "ok", 2], "BackoffLimit": -1, "Resources": {"Limits": {"cpu": "?"}}}
    assert set(problems_of(wrong)) == {"/Imge", "/Args/0", "/Args/2", "/BackoffLimit", "/Resources/Limits/cpu"}


def test_a_body_of_nothing_but_mistakes_gets_an_answer_in_proportion() -> None:
    problems = problems_of({f"Argz{at}": 1 for at in range(20_000)})
    assert len(problems) == 101
    assert problems[""] == "19900 further problems are not listed"


def test_a_string_may_be_as_long_as_linux_takes_it_and_no_longer() -> None:
    longest = "é" * (MAX_STRING_BYTES // 2)
    assert read_trigger(json.dumps({"Args": [longest]}).encode()).args == (longest,)
    assert "at most 131071 bytes" in problems_of({"Args": [longest + "éé"]})["/Args/0"]


def test_more_strings_or_variables_than_make_sense_are_refused() -> None:
    assert "at most 1000 strings" in problems_of({"Args": [""] * 1001})["/Args"]
    assert "at most 1000 variables" in problems_of({"Environments": [{}] * 1001})["/Environments"]


def test_a_batch_is_an_array_or_an_object_a_line() -> None:
    lines = (Line("fibonacci", Overrides(args=("42",))), Line("other", Overrides()))
    array = read_batch(b' [{"Name": "Fibonacci", "Args": ["42"]},\n {"name": "other"}]')
    assert (array.triggers, array.lines) == (lines, None)
    ndjson = read_batch(b'{"Name": "Fibonacci", "Args": ["42"]}\r\n\n{"name": "other"}\n')
    assert (ndjson.triggers, ndjson.lines) == (lines, (1, 3))


def test_every_bad_line_of_a_batch_is_listed_with_the_line_it_stands_on() -> None:
    with pytest.raises(BadBody) as refused:
        read_batch(b'{"Name": "fibonacci"}\n\n{"Name": "x"}\n{oops\n[]\n{"Args": [1]}')
    assert refused.value.lines == (1, 3, 4, 5, 6)
    assert [problem.pointer for problem in refused.value.problems] == ["/1/Name", "/2", "/3", "/4", "/4/Args/0"]


@pytest.mark.parametrize("body", [b"", b"\n\n", b"[]", b"[" + b"{}," * MAX_BATCH + b"{}]"])
def test_a_batch_of_none_or_of_too_many_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody, match=f"a batch has 1 to {MAX_BATCH} jobs"):
        read_batch(body)


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(OVERRIDES.values())) | st.text(), inner),
)


@given(st.binary() | Json.map(lambda value: json.dumps(value).encode()) | st.text().map(str.encode))
@example(b'{"Name":"\\ud800"}')
@example(b'{"Resources":{"Limits":{"\\ud800":"1"}}}')
@example(b'{"Environments":[{"name":"A","valueFrom":{"secretKeyRef":{"\\ud800":"1"}}}]}')
def test_any_body_is_read_or_refused_with_a_reason_that_can_be_encoded(body: bytes) -> None:
    for read in (read_trigger, read_batch):
        problems: Sequence[Problem] | None = None
        try:
            read(body)
        except BadBody as refused:
            problems = refused.problems
        assert problems is None or "".join(each.pointer + each.detail for each in problems).encode()


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "Args": st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
        "DependsOn": st.lists(st.from_regex(r"[a-z0-9]{1,10}", fullmatch=True)),
        "BackoffLimit": st.integers(0, 2**31 - 1),
        "TtlSecondsAfterFinished": st.integers(0, 2**31 - 1),
        "RestartPolicy": st.sampled_from(RestartPolicy),
        "Image": st.from_regex(r"[a-z0-9/:.@-]{1,50}", fullmatch=True),
    },
)


@given(VALUES)
def test_what_is_written_is_what_is_read(values: dict[str, Any]) -> None:
    read = read_trigger(json.dumps(values).encode())
    assert read == Overrides(
        args=tuple(values["Args"]) if "Args" in values else None,
        image=values.get("Image"),
        depends_on=tuple(values["DependsOn"]) if "DependsOn" in values else None,
        backoff_limit=values.get("BackoffLimit"),
        ttl_seconds_after_finished=values.get("TtlSecondsAfterFinished"),
        restart_policy=values.get("RestartPolicy"),
    )
    [line] = read_batch(json.dumps([{"Name": "fibonacci", **values}]).encode()).triggers
    assert line == Line("fibonacci", read)
