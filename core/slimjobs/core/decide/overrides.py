"""What a trigger may override of a definition: every rule of the contract, and every violation at once.

Called by the decision that accepts runs, manual or scheduled (contract, Triggering rules), with overrides whose form
was checked where they came in: quantities are canonical, words are known. `Command`, `PodTemplate`, `Visibility` and
the caps are not open to overrides: `Overrides` has no place for them.

Amounts. The ceiling of a limit is the definition's limit of that name, the ceiling of a request its request. Where the
definition has only one of the two, that one caps both: Kubernetes takes a missing request to be the limit, and a
missing limit is for the namespace's LimitRange to give, not for a trigger to choose. So no trigger ever asks for more
of anything than the largest amount that the definition names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from slimjobs.core.configuration.quantities import parse_quantity
from slimjobs.core.decide.images import allowed_images, image_allowed
from slimjobs.core.decide.violations import (
    BoundlessLimit,
    ImageNotAllowed,
    NoImage,
    NumberOutOfRange,
    ReferenceNotAllowed,
    RequestAboveLimit,
    ResourceAboveCeiling,
    UnknownResource,
    Violation,
)
from slimjobs.eventlog.events.definitions import Definition, EnvironmentVariable, Overrides, Resources
from slimjobs.projections.effective import merged_resources

MOST: Final = 2**31 - 1  # Kubernetes keeps backoffLimit and ttlSecondsAfterFinished as int32

BOUNDLESS_AT_ZERO: Final = frozenset({"cpu", "memory", "ephemeral-storage"})

OPEN_REFERENCES: Final = frozenset({"fieldRef", "resourceFieldRef"})


class Violations(NamedTuple):
    """What is wrong with overrides: what cannot be taken (400), and what the caller has no right to (403)."""

    invalid: tuple[Violation, ...] = ()
    forbidden: tuple[Violation, ...] = ()


NO_VIOLATIONS: Final = Violations()


def check(
    definition: Definition, overrides: Overrides, pointer: str = "", *, image_required: bool = False
) -> Violations:
    """Every rule that these overrides break, each with a JSON pointer (RFC 6901) that begins with `pointer`.

    With `image_required` (Kubernetes) a run needs an image even where the definition has a command to run.
    """
    invalid: list[Violation] = []
    if overrides.image or not (definition.image or (definition.command and not image_required)):
        invalid += _of_image(definition, overrides.image or "", pointer, image_required)
    if overrides.resources is not None:
        invalid += _of_resources(definition, overrides, f"{pointer}/Resources")
    if overrides.backoff_limit is not None or overrides.ttl_seconds_after_finished is not None:
        invalid += _of_numbers(overrides, pointer)
    forbidden: tuple[Violation, ...] = ()
    if overrides.environments and not definition.allow_reference_overrides:
        forbidden = tuple(_of_environments(definition, overrides.environments, f"{pointer}/Environments"))
    return Violations(tuple(invalid), forbidden) if invalid or forbidden else NO_VIOLATIONS


def _of_image(definition: Definition, asked: str, pointer: str, image_required: bool) -> Iterator[Violation]:
    """An image is the definition's or matches its whitelist; there is one, unless a command alone can run."""
    if asked:
        if not image_allowed(definition, asked):
            yield ImageNotAllowed(f"{pointer}/Image", asked, allowed_images(definition))
    elif image_required or not definition.command:
        yield NoImage(f"{pointer}/Image", allowed_images(definition))


def _of_resources(definition: Definition, overrides: Overrides, pointer: str) -> Iterator[Violation]:
    """Nothing that the definition does not name, nothing above its ceiling, no request above its limit once merged."""
    asked, defined = overrides.resources, definition.resources
    if asked is None:
        return
    ceilings = Resources({**defined.limits, **defined.requests}, {**defined.requests, **defined.limits})
    yield from _above_ceilings(asked.requests, ceilings.requests, f"{pointer}/Requests")
    yield from _above_ceilings(asked.limits, ceilings.limits, f"{pointer}/Limits")
    yield from _boundless(asked.limits, ceilings.limits, f"{pointer}/Limits")
    yield from _above_limits(asked, merged_resources(defined, asked), ceilings, pointer)


def _above_ceilings(asked: Mapping[str, str], ceilings: Mapping[str, str], pointer: str) -> Iterator[Violation]:
    for name, amount in asked.items():
        ceiling = ceilings.get(name)
        if ceiling is None:
            yield UnknownResource(f"{pointer}/{_escaped(name)}", name, tuple(ceilings))
        elif _nanos(amount) > _nanos(ceiling):
            yield ResourceAboveCeiling(f"{pointer}/{_escaped(name)}", amount, ceiling)


def _boundless(asked: Mapping[str, str], ceilings: Mapping[str, str], pointer: str) -> Iterator[Violation]:
    for name, amount in asked.items():
        if name in ceilings and _is_boundless(name, amount, ceilings[name]):
            yield BoundlessLimit(f"{pointer}/{_escaped(name)}", ceilings[name])


# To the kubelet a limit of zero is no limit (pkg/kubelet/kuberuntime: a quota or memory limit of 0 is left unset), so
# the smallest number would be the way past every ceiling. Extended resources and huge pages take zero as none.
def _is_boundless(name: str, limit: str, ceiling: str) -> bool:
    return name in BOUNDLESS_AT_ZERO and _nanos(limit) == 0 < _nanos(ceiling)


def _above_limits(asked: Resources, merged: Resources, ceilings: Resources, pointer: str) -> Iterator[Violation]:
    """Requests above their limits. What is above a ceiling, or boundless, is told already: here it counts as mended."""
    for name in {**asked.requests, **asked.limits}:
        if name not in ceilings.limits or name not in merged.requests or name not in merged.limits:
            continue
        request = min(merged.requests[name], ceilings.requests[name], key=_nanos)
        limit = min(merged.limits[name], ceilings.limits[name], key=_nanos)
        if _nanos(request) > _nanos(limit) and not _is_boundless(name, limit, ceilings.limits[name]):
            kind = "Requests" if name in asked.requests else "Limits"
            yield RequestAboveLimit(f"{pointer}/{kind}/{_escaped(name)}", request, limit)


def _of_numbers(overrides: Overrides, pointer: str) -> Iterator[Violation]:
    for key, asked in (
        ("BackoffLimit", overrides.backoff_limit),
        ("TtlSecondsAfterFinished", overrides.ttl_seconds_after_finished),
    ):
        if asked is not None and not 0 <= asked <= MOST:
            yield NumberOutOfRange(f"{pointer}/{key}", asked, MOST)


def _of_environments(
    definition: Definition, asked: tuple[EnvironmentVariable, ...], pointer: str
) -> Iterator[Violation]:
    """No reference to a Secret or ConfigMap that the definition does not have; under which name it is set is free."""
    if not any(variable.value_from for variable in asked):
        return
    known = {reference for variable in definition.environments for reference in _references(variable)}
    for position, variable in enumerate(asked):
        for kind, name, key in sorted(_references(variable) - known):
            yield ReferenceNotAllowed(f"{pointer}/{position}/valueFrom", kind, name, key)


def _references(variable: EnvironmentVariable) -> set[tuple[str, str, str]]:
    """What the variable refers to outside of its own pod, as (kind, name, key).

    Kinds that are not known to stay inside count as outside. `optional` only says what happens when it is missing.
    """
    if variable.value_from is None:
        return set()
    sources = msgspec.json.decode(variable.value_from, type=dict[str, dict[str, object]])
    return {
        (kind, str(source.get("name", "")), str(source.get("key", "")))
        for kind, source in sources.items()
        if kind not in OPEN_REFERENCES
    }


@lru_cache(maxsize=1024)
def _nanos(amount: str) -> int:
    """The amount in billionths. A service sees few different ones."""
    return parse_quantity(amount).nanos


def _escaped(name: str) -> str:
    """A name as a token of a JSON pointer: `nvidia.com/gpu` has a slash."""
    return name.replace("~", "~0").replace("/", "~1")
