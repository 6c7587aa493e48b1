"""What values a setting can take: each kind reads one text and can say, in a few words, what it takes."""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from slimjobs.core.configuration.cron import is_time_zone
from slimjobs.core.configuration.quantities import NANO, parse_quantity

T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_WHOLE: Final = 2**53


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A way to read the text of a setting. `read` raises ValueError for what it does not take."""

    takes: str
    read: Callable[[str], T]


class Peer(msgspec.Struct, frozen=True):
    """A node of the cluster: its name and where its Raft port is reached (a name is resolved at every connect)."""

    name: str
    host: str
    port: int


class UnixAddress(msgspec.Struct, frozen=True):
    """A runner's Unix socket."""

    path: Path


class LoopbackAddress(msgspec.Struct, frozen=True):
    """A runner's port on this machine; it executes programs, so it is never reached from another one."""

    host: str
    port: int


RunnerAddress = UnixAddress | LoopbackAddress


def whole(least: int = 0, most: int = MAX_WHOLE, unit: str = "") -> Kind[int]:
    """A whole number within bounds."""

    def read(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,16}", text) is None or not least <= int(text) <= most:
            raise ValueError
        return int(text)

    up = "" if most == MAX_WHOLE else f" to {most}"
    return Kind(f"a whole number{unit and f' of {unit}'}, {least}{up or ' or more'}", read)


def number(unit: str, above_zero: bool = False) -> Kind[float]:
    """A number that is not negative, decimals allowed."""

    def read(text: str) -> float:
        if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text) is None or (above_zero and float(text) == 0):
            raise ValueError
        return float(text)

    return Kind(f"a number of {unit}, {'above 0' if above_zero else '0 or more'}", read)


def byte_size(least: int, most: int = MAX_WHOLE) -> Kind[int]:
    """Bytes: a whole number, alone or with a suffix (`256Ki`, `8Mi`, `8 MiB`, `1GB`)."""

    def read(text: str) -> int:
        amount = parse_quantity(text.removesuffix("B").replace(" ", ""))
        size, rest = divmod(amount.nanos, NANO)
        if rest or not least <= size <= most:
            raise ValueError
        return size

    bounds = f"at least {least} bytes" if most == MAX_WHOLE else f"{least} to {most} bytes"
    return Kind(f"a size of {bounds} such as 262144, 256Ki or 2 MiB", read)


def port(least: int = 0) -> Kind[int]:
    """A TCP port; 0, where it is taken, means any free one."""
    return Kind(f"a port, {least} to 65535", whole(least, 65535).read)


def one_of(words: type[E]) -> Kind[E]:
    """One of the words of an enumeration, without regard to case."""
    by_folded = {word.value.casefold(): word for word in words}

    def read(text: str) -> E:
        if text.casefold() not in by_folded:
            raise ValueError
        return by_folded[text.casefold()]

    return Kind(" or ".join(word.value for word in words), read)


def matching(pattern: str, takes: str) -> Kind[str]:
    """A text of a given form."""
    compiled = re.compile(pattern)

    def read(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError
        return text

    return Kind(takes, read)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """The same, or nothing."""
    return Kind(kind.takes, lambda text: kind.read(text) if text else None)


def _path(text: str) -> Path:
    if "\0" in text:
        raise ValueError
    return Path(text)


def _time_zone(text: str) -> str:
    if not is_time_zone(text):
        raise ValueError
    return text


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(item.strip()) for item in text.split(",") if item.strip())


def _host(text: str) -> str | None:
    if text == "*":
        return None
    if re.fullmatch(r"[A-Za-z0-9.:_%-]{1,253}", text) is None:
        raise ValueError
    return text


def _endpoint(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", text)
    if match is None:
        raise ValueError
    return match[1] or match[2], port(1).read(match[3])


def _peers(text: str) -> tuple[Peer, ...]:
    peers = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, endpoint = item.partition("=")
        if re.fullmatch(NODE_NAME, name) is None:
            raise ValueError
        peers.append(Peer(name, *_endpoint(endpoint)))
    if len({peer.name for peer in peers}) < len(peers):
        raise ValueError
    return tuple(peers)


def _runner(text: str) -> RunnerAddress:
    if text.startswith("unix:") and len(text) > len("unix:"):
        return UnixAddress(_path(text.removeprefix("unix:")))
    host, number = _endpoint(text)
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError
    return LoopbackAddress(host, number)


NODE_NAME: Final = r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?"

ANY_TEXT: Final = Kind("any text", str)
PATH: Final = Kind("a path", _path)
TIME_ZONE: Final = Kind("an IANA time zone such as Europe/Paris", _time_zone)
NETWORKS: Final = Kind("networks such as 10.0.0.0/8,fd00::/8 (no bits set beyond the mask)", _networks)
HOST: Final = Kind("an address or host name of this machine, or * for all its addresses", _host)
PEERS: Final = Kind("name=host:port,... with every name once", _peers)
RUNNER: Final = Kind("unix:PATH or a loopback address such as 127.0.0.1:5001", _runner)
NAMESPACE: Final = matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a Kubernetes namespace (a DNS label)")
NAME: Final = matching(NODE_NAME, "the name of a node: letters, digits, '-', '.' and '_'")
