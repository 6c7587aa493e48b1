"""Frames: however the network cuts the stream, the same bodies; whatever else comes, an error and no growth."""

from __future__ import annotations

import ssl
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimjobs.eventlog.transport.frames import Frames, TooLong, Unreadable, frame

BODIES = st.lists(st.binary(min_size=1, max_size=50), max_size=20)


def cut(stream: bytes, places: set[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[low:high] for low, high in pairwise(edges)]


def taken(frames: Frames, chunks: list[bytes]) -> list[bytes]:
    bodies = []
    for chunk in chunks:
        frames.feed(chunk)
        bodies += frames.take_all()
    return bodies


@given(BODIES, st.sets(st.integers(min_value=0)))
def test_any_cutting_of_a_stream_gives_the_same_bodies(bodies: list[bytes], places: set[int]) -> None:
    frames = Frames()
    assert taken(frames, cut(b"".join(map(frame, bodies)), places)) == bodies
    assert frames.held == 0


@given(st.lists(st.binary(max_size=64), max_size=200))
def test_garbage_never_makes_it_hold_more_than_a_frame_and_a_feed(chunks: list[bytes]) -> None:
    frames = Frames(max_bytes=100)
    for chunk in chunks:
        frames.feed(chunk)
        try:
            frames.take_all()
        except Unreadable:
            return
        assert frames.held < 4 + 100


def client_hello() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    sent = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="peer").do_handshake()
    return sent.read()


@pytest.mark.parametrize(
    "stranger", [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH_9.9\r\n", client_hello()], ids=["HTTP", "SSH", "TLS"]
)
def test_other_protocols_look_like_a_frame_that_is_too_long(stranger: bytes) -> None:
    frames = Frames()
    frames.feed(stranger)
    with pytest.raises(TooLong, match=r"a frame of [\d,]+ bytes, where 8,388,608 are the limit"):
        frames.take()


def test_a_frame_may_be_as_long_as_the_limit_and_not_a_byte_longer() -> None:
    frames = Frames(max_bytes=10)
    frames.feed(frame(b"x" * 10) + frame(b"y" * 11))
    assert frames.take() == b"x" * 10
    with pytest.raises(TooLong):
        frames.take()


def test_too_long_is_said_before_the_body_comes_and_again_ever_after() -> None:
    frames = Frames(max_bytes=10)
    frames.feed(b"\x00\x00\x00\x0b")
    for _ in range(2):
        with pytest.raises(TooLong):
            frames.take()


def test_an_empty_frame_is_unreadable() -> None:
    frames = Frames()
    frames.feed(bytes(4))
    with pytest.raises(Unreadable, match="an empty frame"):
        frames.take()


def test_the_limit_may_change_between_two_bodies_that_came_together() -> None:
    frames = Frames(max_bytes=5)
    frames.feed(frame(b"short") + frame(b"much longer"))
    assert frames.take() == b"short"
    frames.max_bytes = 100
    assert frames.take() == b"much longer"
