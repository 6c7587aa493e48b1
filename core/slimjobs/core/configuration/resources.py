"""Requests and limits as people write them, into canonical quantities."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from slimjobs.core.configuration.quantities import EXPECTED, Quantity, QuantityError, parse_quantity
from slimjobs.core.configuration.reading import Fields, Spot, key_problem, known_keys, members, unknown_key
from slimjobs.core.configuration.relaxed_json import Member, Number, shortened
from slimjobs.eventlog.events.definitions import Resources

KEYS: Final = known_keys("Requests", "Limits")

# Kubernetes' own resources of containers; others carry their vendor's domain (`nvidia.com/gpu`).
STANDARD: Final = known_keys("cpu", "memory", "ephemeral-storage")
_OTHERS: Final = re.compile(r"hugepages-[0-9A-Za-z]+|[a-z0-9.-]{1,253}/[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")

Found = Mapping[str, tuple[Spot, Quantity]]


def read_resources(spot: Spot) -> Resources | None:
    """Requests and limits; a request above its limit is a problem, noted at the request."""
    fields = Fields(spot, KEYS)
    requests = fields.take("Requests", _quantities) or {}
    limits = fields.take("Limits", _quantities) or {}
    for name, (at, asked) in requests.items():
        if name in limits and asked > limits[name][1]:
            at.problem(f"the request for {name} ({asked}) is above its limit ({limits[name][1]})")
    return Resources(requests=_canonical(requests), limits=_canonical(limits))


def _canonical(found: Found) -> dict[str, str]:
    """In the order of names: the order in which people wrote them makes no other definition."""
    return {name: str(found[name][1]) for name in sorted(found)}


def _quantities(spot: Spot) -> Found:
    found: dict[str, tuple[Spot, Quantity]] = {}
    for name, member, inner in _resource_names(spot):
        if name in found:
            key_problem(inner, member, f"'{name}' is given twice")
            continue
        quantity = read_quantity(inner)
        if quantity is not None:
            found[name] = inner, quantity
    return found


def _resource_names(spot: Spot) -> Iterator[tuple[str, Member, Spot]]:
    for member, inner in members(spot):
        name = STANDARD.get(member.key.casefold(), member.key)
        if name in STANDARD or _OTHERS.fullmatch(name):
            yield name, member, inner
        else:
            unknown_key(inner, member, "resource", STANDARD)


def read_quantity(spot: Spot) -> Quantity | None:
    """A quantity that is not negative, written as a text or, as Kubernetes takes it too, as a number."""
    value = spot.node.value
    written = value.text if isinstance(value, Number) else value
    if not isinstance(written, str):
        spot.expected(EXPECTED)
        return None
    try:
        quantity = parse_quantity(written)
    except QuantityError as error:
        spot.problem(f'"{shortened(written)}" cannot be read: {error}')
        return None
    if quantity.nanos < 0:
        spot.problem(f'"{shortened(written)}" is negative')
        return None
    return quantity
