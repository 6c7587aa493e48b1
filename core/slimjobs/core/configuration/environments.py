"""Environment variables of a container: values and references, in the configuration's and in Kubernetes' spelling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from slimjobs.core.configuration.reading import Fields, Reader, Spot, either, items, known_keys, text, truth
from slimjobs.core.configuration.relaxed_json import Array
from slimjobs.core.configuration.resources import read_quantity
from slimjobs.eventlog.events.definitions import EnvironmentVariable

KEYS: Final = known_keys("name", "value", "valueFrom")

Plain = str | bool


def _divisor(spot: Spot) -> str | None:
    quantity = read_quantity(spot)
    return None if quantity is None else str(quantity)


# Kubernetes' EnvVarSource: each kind of reference, the fields it must have and those it may have.
REFERENCES: Final[Mapping[str, tuple[dict[str, Reader[Plain]], dict[str, Reader[Plain]]]]] = {
    "secretKeyRef": ({"name": text, "key": text}, {"optional": truth}),
    "configMapKeyRef": ({"name": text, "key": text}, {"optional": truth}),
    "fieldRef": ({"fieldPath": text}, {"apiVersion": text}),
    "resourceFieldRef": ({"resource": text}, {"containerName": text, "divisor": _divisor}),
}


def read_environments(spot: Spot) -> tuple[EnvironmentVariable, ...] | None:
    """The variables, in order; each name once."""
    variables: dict[str, EnvironmentVariable] = {}
    for item in items(spot):
        variable = _variable(item)
        if variable is None:
            continue
        if variable.name in variables:
            item.problem(f"the variable '{variable.name}' is set twice")
        variables.setdefault(variable.name, variable)
    return tuple(variables.values()) if isinstance(spot.node.value, Array) else None


def _variable(spot: Spot) -> EnvironmentVariable | None:
    """A value (absent: empty, as for Kubernetes) or a reference, not both."""
    fields = Fields(spot, KEYS)
    name = fields.need("name", _variable_name)
    value = fields.take("value", text)
    reference = fields.take("valueFrom", _reference)
    if value is not None and reference is not None:
        spot.problem("a variable has a value or a valueFrom, not both")
    if name is None:
        return None
    if reference is not None:
        return EnvironmentVariable(name, value_from=reference)
    return EnvironmentVariable(name, value or "")


def _variable_name(spot: Spot) -> str | None:
    name = text(spot)
    if name is not None and (not name or "=" in name):
        spot.problem("a variable's name is not empty and holds no '='")
        return None
    return name


def _reference(spot: Spot) -> bytes | None:
    """Exactly one reference, in Kubernetes' spelling, as canonical JSON."""
    fields = Fields(spot, known_keys(*REFERENCES))
    given = {kind: plain for kind in REFERENCES if (plain := fields.take(kind, _fields_of(kind))) is not None}
    if len(given) != 1:
        spot.expected(f"exactly one of {either(list(REFERENCES))}")
        return None
    return msgspec.json.encode(given, order="sorted")


def _fields_of(kind: str) -> Reader[dict[str, Plain]]:
    needed, allowed = REFERENCES[kind]

    def read(spot: Spot) -> dict[str, Plain] | None:
        fields = Fields(spot, known_keys(*needed, *allowed))
        found: dict[str, Plain] = {}
        for key, reader in (needed | allowed).items():
            at = fields.need(key, _spot) if key in needed else fields.take(key, _spot)
            value = None if at is None else reader(at)
            if value is not None:
                found[key] = value
        return found

    return read


def _spot(spot: Spot) -> Spot:
    return spot
