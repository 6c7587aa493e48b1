"""Who counts as internal (contract §2, Visibility), and how often an external address may ask."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimjobs.http.callers import Judge
from slimjobs.http.rates import MAX_ADDRESSES, RateLimit

JUDGE = Judge(
    trusted_networks=[ip_network("10.0.0.0/8"), ip_network("fd00::/8")],
    trusted_proxies=[ip_network("10.9.0.0/16")],
)
INSIDE, OUTSIDE, PROXY, PROXY_2 = "10.1.1.1", "203.0.113.7", "10.9.0.1", "10.9.0.2"


def internal(peer: str, **headers: str) -> bool:
    named = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
    return JUDGE.judge(peer, named).internal


@pytest.mark.parametrize("peer", [INSIDE, "::ffff:10.1.1.1", "fd00::1", "fd00::1%eth0", PROXY])
def test_whose_address_is_in_a_trusted_network_is_internal(peer: str) -> None:
    assert internal(peer)


@pytest.mark.parametrize("peer", [OUTSIDE, "::ffff:203.0.113.7", "2001:db8::1", "", "unix", "10.1.1", "10.1.1.1.1"])
def test_everyone_else_is_external(peer: str) -> None:
    assert not internal(peer)


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_for": INSIDE},
        {"x_forwarded_for": ""},
        {"forwarded": f"for={INSIDE}"},
        {"x_real_ip": INSIDE},
    ],
    ids=str,
)
def test_forwarding_headers_of_a_peer_that_is_no_trusted_proxy_make_it_external(headers: dict[str, str]) -> None:
    assert not internal(INSIDE, **headers)
    assert not internal(OUTSIDE, **headers)


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({"x_forwarded_for": INSIDE}, True),
        ({"x_forwarded_for": OUTSIDE}, False),
        ({"x_forwarded_for": f"{OUTSIDE}, {INSIDE}"}, True),
        ({"x_forwarded_for": f"{INSIDE}, {OUTSIDE}"}, False),
        ({"x_forwarded_for": f"{INSIDE}, {PROXY_2}"}, True),
        ({"x_forwarded_for": f"{INSIDE}, {OUTSIDE}, {PROXY_2}"}, False),
        ({"x_forwarded_for": PROXY_2}, True),
        ({"x_forwarded_for": f"{INSIDE}:4711"}, True),
        ({"x_forwarded_for": "[fd00::1]:4711"}, True),
        ({"x_forwarded_for": "::ffff:10.1.1.1"}, True),
        ({"x_forwarded_for": f"{INSIDE}, unknown"}, False),
        ({"x_forwarded_for": ""}, False),
        ({"forwarded": f"for={INSIDE};proto=http"}, True),
        ({"forwarded": 'proto=http; For="[fd00::1]:80"'}, True),
        ({"forwarded": f"for={INSIDE}, for={OUTSIDE}"}, False),
        ({"forwarded": f'for="{INSIDE}, for={OUTSIDE}'}, False),
        ({"forwarded": "by=10.1.1.1"}, False),
        ({"forwarded": "for=_hidden"}, False),
        ({"forwarded": f"for={INSIDE}", "x_forwarded_for": INSIDE}, False),
        ({"x_real_ip": INSIDE}, False),
    ],
    ids=str,
)
def test_behind_trusted_proxies_the_address_that_the_nearest_saw_decides(
    headers: dict[str, str], verdict: bool
) -> None:
    assert internal(PROXY, **headers) is verdict


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({"host": "localhost:5000", "origin": "http://localhost:5000"}, True),
        ({"host": "localhost:5000", "origin": "http://localhost:8080"}, False),
        ({"host": "localhost:5000", "origin": "https://evil.example"}, False),
        ({"host": "localhost:5000", "origin": "null"}, False),
        ({"host": "localhost:5000", "origin": "http://["}, False),
        ({"host": "localhost:5000", "sec_fetch_site": "cross-site"}, False),
        ({"host": "localhost:5000", "sec_fetch_site": "same-origin"}, True),
    ],
    ids=str,
)
def test_a_page_of_another_site_is_external_whoever_looks_at_it(headers: dict[str, str], verdict: bool) -> None:
    assert internal(INSIDE, **headers) is verdict


@given(st.text(), st.dictionaries(st.sampled_from([b"forwarded", b"x-forwarded-for", b"origin"]), st.binary()))
def test_whatever_is_sent_there_is_a_verdict(peer: str, headers: dict[bytes, bytes]) -> None:
    for each in (peer, PROXY):
        assert JUDGE.judge(each, headers).internal in (True, False)


def test_an_address_may_ask_as_often_as_the_limit_says_and_again_later() -> None:
    limit = RateLimit(2)
    assert [limit.allows("a", now) for now in (0.0, 0.0, 0.0, 0.4, 0.5, 0.6)] == [True, True, False, False, True, False]
    assert limit.allows("b", 0.6)
    assert [limit.allows("a", 100.0) for _ in range(3)] == [True, True, False]


def test_no_limit_is_no_limit() -> None:
    assert all(RateLimit(0).allows("a", 0.0) for _ in range(1000))


def test_only_so_many_addresses_are_remembered() -> None:
    limit = RateLimit(1)
    assert limit.allows("first", 0.0)
    assert not limit.allows("first", 0.0)
    for at in range(MAX_ADDRESSES):
        limit.allows(str(at), 0.0)
    assert limit.allows("first", 0.0)
