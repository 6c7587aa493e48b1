"""A body's members as the overrides of one trigger: every key of the contract, and what it takes.

Stands between the members (`fields`) and the command (`triggers`). Shape and types are checked here; what a definition
allows (ceilings, whitelist, references) is decided where the definition is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from slimjobs.core.configuration.quantities import EXPECTED, QuantityError, parse_quantity
from slimjobs.eventlog.events.definitions import EnvironmentVariable, Overrides, Resources, RestartPolicy
from slimjobs.http.fields import Fields, Trouble, folded, integer, members, one_of, string, strings
from slimjobs.http.strict_json import UNSAFE, Value, kind_of, pointer_to, shown

MAX_VARIABLES: Final = 1000
MAX_IMAGE_CHARACTERS: Final = 1024

_DEPENDENCY: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_NO_IMAGE: Final = re.compile(r"[\s\0-\x1f\x7f]")

OVERRIDES: Final = folded(
    "Args",
    "Image",
    "Resources",
    "Environments",
    "DependsOn",
    "BackoffLimit",
    "TtlSecondsAfterFinished",
    "RestartPolicy",
)
_RESOURCES: Final = folded("Requests", "Limits")
_VARIABLE: Final = folded("name", "value", "valueFrom")
_REFERENCES: Final = folded("secretKeyRef", "configMapKeyRef", "fieldRef", "resourceFieldRef")


def overrides_of(fields: Fields) -> Overrides:
    """The overrides that these members write; what cannot be read is noted and left out."""
    take = fields.take
    return Overrides(
        args=take("Args", strings),
        image=take("Image", _image),
        resources=take("Resources", _resources),
        environments=take("Environments", _environments),
        depends_on=take("DependsOn", _dependencies),
        backoff_limit=take("BackoffLimit", integer),
        ttl_seconds_after_finished=take("TtlSecondsAfterFinished", integer),
        restart_policy=take("RestartPolicy", one_of(RestartPolicy)),
    )


def _image(value: Value, pointer: str, trouble: Trouble) -> str | None:
    """A reference of an image; the empty one means the definition's, as an absent one does."""
    text = string(value, pointer, trouble)
    if text and (_NO_IMAGE.search(text) or len(text) > MAX_IMAGE_CHARACTERS):
        trouble.add(pointer, f"an image has no spaces and at most {MAX_IMAGE_CHARACTERS} characters")
    return text or None


def _resources(value: Value, pointer: str, trouble: Trouble) -> Resources | None:
    found = members(value, pointer, trouble)
    if found is None:
        return None
    fields = Fields(found, _RESOURCES, pointer, trouble)
    return Resources(
        requests=fields.take("Requests", _quantities) or {}, limits=fields.take("Limits", _quantities) or {}
    )


def _quantities(value: Value, pointer: str, trouble: Trouble) -> Mapping[str, str] | None:
    """Quantities by resource name, in their canonical text; a number is one without suffix, as for Kubernetes."""
    found = members(value, pointer, trouble)
    if found is None:
        return None
    quantities: dict[str, str] = {}
    for name, amount in found:
        where = pointer_to(pointer, name)
        if UNSAFE.search(name) or not name:
            trouble.add(
                where, "a resource's name may be neither empty nor hold a NUL character or half a surrogate pair"
            )
        elif name in quantities:
            trouble.add(where, f"'{shown(name)}' is given twice")
        elif not isinstance(amount, str):
            trouble.add(where, f"takes {EXPECTED}, not {kind_of(amount)}")
        else:
            quantities[name] = _quantity(amount, where, trouble)
    return quantities


def _quantity(text: str, pointer: str, trouble: Trouble) -> str:
    try:
        return canonical_quantity(str(text))
    except QuantityError as error:
        trouble.add(pointer, f"'{shown(text)}' cannot be read: {error}")
        return ""


@lru_cache(maxsize=1024)  # a service sees few different quantities; what cannot be read is not kept
def canonical_quantity(text: str) -> str:
    """The quantity as Kubernetes writes it. Raises QuantityError if it is none or negative."""
    quantity = parse_quantity(text)
    if quantity.nanos < 0:
        raise QuantityError("a resource's quantity is not negative")
    return str(quantity)


def _environments(value: Value, pointer: str, trouble: Trouble) -> tuple[EnvironmentVariable, ...] | None:
    if not isinstance(value, list):
        trouble.add(pointer, f"takes an array of variables, not {kind_of(value)}")
        return None
    if len(value) > MAX_VARIABLES:
        trouble.add(pointer, f"takes at most {MAX_VARIABLES} variables")
        return None
    variables: dict[str, EnvironmentVariable] = {}
    for at, item in enumerate(value):
        where = pointer_to(pointer, at)
        variable = _variable(item, where, trouble)
        if variable is not None and variable.name in variables:
            trouble.add(where, f"'{shown(variable.name)}' is set twice")
        elif variable is not None:
            variables[variable.name] = variable
    return tuple(variables.values())


def _variable(value: Value, pointer: str, trouble: Trouble) -> EnvironmentVariable | None:
    """One variable: a value (absent: empty, as for Kubernetes) or a reference, not both."""
    found = members(value, pointer, trouble)
    if found is None:
        return None
    fields = Fields(found, _VARIABLE, pointer, trouble)
    name = fields.need("name", _variable_name)
    text = fields.take("value", string)
    reference = fields.take("valueFrom", _reference)
    if text is not None and reference is not None:
        trouble.add(pointer, "a variable has a value or a valueFrom, not both")
    if name is None:
        return None
    return (
        EnvironmentVariable(name, value_from=reference)
        if reference is not None
        else EnvironmentVariable(name, text or "")
    )


def _variable_name(value: Value, pointer: str, trouble: Trouble) -> str | None:
    name = string(value, pointer, trouble)
    if name is not None and (not name or "=" in name):
        trouble.add(pointer, "a variable's name is not empty and has no '='")
        return None
    return name


def _reference(value: Value, pointer: str, trouble: Trouble) -> bytes | None:
    """A reference as Kubernetes writes it (EnvVarSource), as canonical JSON: exactly one kind, its fields plain."""
    found = members(value, pointer, trouble)
    if found is None:
        return None
    fields = Fields(found, _REFERENCES, pointer, trouble)
    kinds = {kind: fields.take(kind, _reference_fields) for kind in _REFERENCES.values()}
    given = {kind: plain for kind, plain in kinds.items() if plain is not None}
    if len(given) != 1:
        trouble.add(pointer, f"takes exactly one of {', '.join(_REFERENCES.values())}")
        return None
    return msgspec.json.encode(given, order="sorted")


def _reference_fields(value: Value, pointer: str, trouble: Trouble) -> Mapping[str, str | bool] | None:
    found = members(value, pointer, trouble)
    if found is None:
        return None
    plain: dict[str, str | bool] = {}
    for key, item in found:
        where = pointer_to(pointer, key)
        checked = item if isinstance(item, bool) else string(item, where, trouble)
        if UNSAFE.search(key) or key in plain:
            trouble.add(where, f"'{shown(key)}' is given twice or is no key")
        elif checked is not None:
            plain[key] = checked
    return plain


def _dependencies(value: Value, pointer: str, trouble: Trouble) -> tuple[str, ...] | None:
    names = strings(value, pointer, trouble)
    for at, name in enumerate(names or ()):
        if not _DEPENDENCY.fullmatch(name):
            trouble.add(pointer_to(pointer, at), f"'{shown(name)}' cannot be the name of a Deployment or StatefulSet")
    return names
