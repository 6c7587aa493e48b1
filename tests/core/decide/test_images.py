"""The whitelist of images: `*` is any run of characters, the whole image must match, and case counts."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slimjobs.core.decide.images import image_allowed, pattern_pieces, pieces_match
from slimjobs.eventlog.events.definitions import Definition


@pytest.mark.parametrize(
    ("pattern", "image", "matches"),
    [
        ("batch:1", "batch:1", True),
        ("batch:1", "batch:10", False),
        ("batch:1", "my-batch:1", False),
        ("batch:*", "batch:1.0.1", True),
        ("batch:*", "batch:", True),
        ("batch:*", "batch", False),
        ("batch:*", "Batch:1", False),
        ("*", "registry:5000/team/batch@sha256:0123", True),
        ("*/batch:*", "registry:5000/team/batch:1", True),
        ("*/batch:*", "batch:1", False),
        ("team/*/batch:*-slim", "team/a/b/batch:3-slim", True),
        ("team/*/batch:*-slim", "team/a/batch:3-slim-2", False),
        ("team/*", "evil/team/batch", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a**b", "ab", True),
        # Nothing but the star has a meaning of its own.
        ("batch:?", "batch:1", False),
        ("batch:[12]", "batch:1", False),
        ("batch.1", "batch:1", False),
        ("", "batch:1", False),
    ],
)
def test_a_pattern_matches_the_whole_image(pattern: str, image: str, matches: bool) -> None:
    assert image_allowed(Definition(images_whitelist=(pattern,)), image) is matches


def test_without_a_whitelist_only_the_specified_image_is_allowed() -> None:
    definition = Definition(image="batch:1")

    assert image_allowed(definition, "batch:1")
    assert not image_allowed(definition, "batch:2")


def test_a_star_in_the_specified_image_is_no_pattern() -> None:
    assert not image_allowed(Definition(image="batch:*"), "batch:1")


def test_any_entry_of_the_whitelist_will_do_and_the_specified_image_always_does() -> None:
    definition = Definition(image="batch:1", images_whitelist=("other:1", "slim:*"))

    assert all(image_allowed(definition, image) for image in ("batch:1", "other:1", "slim:3"))


def brute_force(pattern: str, text: str) -> bool:
    """The meaning of a pattern, word by word: a star is nothing, or one character and a star."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return brute_force(pattern[1:], text) or (bool(text) and brute_force(pattern, text[1:]))
    return text[:1] == pattern[0] and brute_force(pattern[1:], text[1:])


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
@example("*a*b*a", "aba")
@example("ab*ba", "aba")
def test_the_matcher_agrees_with_the_meaning_of_a_pattern(pattern: str, text: str) -> None:
    assert pieces_match(pattern_pieces(pattern), text) == brute_force(pattern, text)


def test_no_pattern_makes_the_matcher_try_again_what_it_tried() -> None:
    # A backtracking matcher needs longer than the age of the universe for this one.
    assert not pieces_match(pattern_pieces("*a" * 500 + "*b"), "a" * 1000)
