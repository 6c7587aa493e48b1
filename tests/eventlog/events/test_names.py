"""The one rule for the names of jobs (contract §2, Names)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimjobs.eventlog.events.names import job_name
from slimjobs.eventlog.events.runs import RunId, job_object_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("fibonacci", "fibonacci"),
        ("Default", "default"),
        ("a-1", "a-1"),
        ("123", "123"),
        ("x" * 30, "x" * 30),
    ],
)
def test_a_dns_label_of_3_to_30_characters_is_a_name_and_is_lower_cased(text: str, name: str) -> None:
    assert job_name(text) == name


@pytest.mark.parametrize(
    "text",
    ["", "ab", "x" * 31, "-ab", "ab-", "a_b", "a.b", "a b", "abc\n", "h\u00f6he", "\u212aelvin", "\u0661\u0662\u0663"],
    ids=ascii,
)
def test_anything_else_is_none(text: str) -> None:
    assert job_name(text) is None


@given(st.text())
def test_whatever_is_a_name_makes_an_object_name_that_kubernetes_takes(text: str) -> None:
    name = job_name(text)
    if name is not None:
        object_name = job_object_name(name, RunId(bytes(10)))
        assert len(object_name) <= 63
        assert object_name.isascii()
        assert object_name == object_name.lower()
