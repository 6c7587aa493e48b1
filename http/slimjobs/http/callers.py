"""Who asks: the verdict on a caller, made once, where the request comes in (contract §2, Visibility).

Internal is whose address is in a trusted network. The address is the peer's, or, behind trusted proxies, the one that
the nearest of them saw. Whatever leaves a doubt makes a caller external.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

import msgspec

IpAddress = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Headers = Mapping[bytes, bytes]

# By these a proxy says for whom it asks; from a peer that is none of ours they only say that it is somebody else.
FORWARDING: Final = (b"forwarded", b"x-forwarded-for", b"x-real-ip")

_FORWARDED_FOR: Final = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<token>[^;,"\s]*))', re.IGNORECASE)
_WITH_PORT: Final = re.compile(r"\[(?P<v6>[^\]]+)\](?::\w+)?|(?P<v4>[0-9.]+):\w+")


class Caller(msgspec.Struct, frozen=True):
    """Whoever sent a request: the address it is judged by, and the verdict."""

    address: str
    internal: bool


class Judge:
    """The rules by which callers are internal or external."""

    def __init__(self, trusted_networks: Sequence[Network], trusted_proxies: Sequence[Network] = ()) -> None:
        self._networks = trusted_networks
        self._proxies = trusted_proxies
        # Most requests come from few addresses, without such headers; the verdict on those is remembered.
        self._direct = lru_cache(maxsize=1024)(self._judge_direct)

    def judge(self, peer: str, headers: Headers) -> Caller:
        """The verdict on a request from this peer. Header names are lower case; repeated ones are joined by commas."""
        if not any(name in headers for name in FORWARDING):
            caller = self._direct(peer)
        else:
            caller = self._judge_forwarded(peer, headers)
        if caller.internal and _from_another_site(headers):
            return Caller(caller.address, False)
        return caller

    def _judge_direct(self, peer: str) -> Caller:
        address = parse_address(peer)
        return Caller(peer, address is not None and _within(address, self._networks))

    def _judge_forwarded(self, peer: str, headers: Headers) -> Caller:
        """Go from the peer towards the client, as long as those who say so are trusted proxies."""
        proxy = parse_address(peer)
        hops = _forwarded_for(headers)
        if not hops or proxy is None or not _within(proxy, self._proxies):
            return Caller(peer, False)
        address = None
        for text in reversed(hops):
            address = parse_address(text)
            if address is None or not _within(address, self._proxies):
                break
        return Caller(peer, False) if address is None else Caller(str(address), _within(address, self._networks))


def parse_address(text: str) -> IpAddress | None:
    """The address that a text writes, an IPv4-mapped one as the IPv4 that it is; None if it is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _within(address: IpAddress, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _forwarded_for(headers: Headers) -> Sequence[str]:
    """The addresses that forwarding headers name, the client's first. Two kinds of header at once are nobody's word."""
    standard, usual = headers.get(b"forwarded"), headers.get(b"x-forwarded-for")
    if usual is not None and standard is None:
        return [_without_port(hop.strip()) for hop in usual.decode("latin-1").split(",")]
    if standard is not None and usual is None:
        return [_without_port(_node(hop)) for hop in standard.decode("latin-1").split(",")]
    return []


def _node(hop: str) -> str:
    """The `for` of one element of `Forwarded` (RFC 7239 §4), empty if it has none."""
    match = _FORWARDED_FOR.search(hop)
    return (match["quoted"] or match["token"] or "") if match else ""


def _without_port(node: str) -> str:
    match = _WITH_PORT.fullmatch(node)
    return (match["v6"] or match["v4"]) if match else node


def _from_another_site(headers: Headers) -> bool:
    """Whether a browser sent this on behalf of a page of another site: its user's address is no credential of the page.

    Bodies are read whatever their type, so no preflight would keep such a page from triggering jobs on its visitor's
    machine (Fetch standard, Origin header).
    """
    origin = headers.get(b"origin")
    if origin is None:
        return headers.get(b"sec-fetch-site") == b"cross-site"
    return origin.partition(b"://")[2].lower() != headers.get(b"host", b"").lower()
