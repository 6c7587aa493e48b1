"""What a trigger may override, rule by rule as the contract has them ("Triggering rules")."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimjobs.core.configuration.quantities import parse_quantity
from slimjobs.core.decide.overrides import MOST, NO_VIOLATIONS, Violations, check
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
from slimjobs.eventlog.events.definitions import Definition, EnvironmentVariable, Overrides, Resources, RestartPolicy
from slimjobs.projections.effective import effective

IMAGE = "axaguildev/fibonacci-batch:latest"
WHITELIST = ("axaguildev/fibonacci-batch:*",)
FIBONACCI = Definition(
    image=IMAGE,
    images_whitelist=WHITELIST,
    resources=Resources({"cpu": "400m", "memory": "400Mi"}, {"cpu": "400m", "memory": "400Mi"}),
)


def wrong(definition: Definition, overrides: Overrides) -> tuple[Violation, ...]:
    """What cannot be taken; nothing here is forbidden."""
    violations = check(definition, overrides)
    assert violations.forbidden == ()
    return violations.invalid


# Image --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [None, "", IMAGE, "axaguildev/fibonacci-batch:1.0.1"])
def test_an_image_is_the_definitions_or_matches_the_whitelist(image: str | None) -> None:
    assert wrong(FIBONACCI, Overrides(image=image)) == ()


def test_another_image_is_refused_with_those_that_are_allowed() -> None:
    (violation,) = wrong(FIBONACCI, Overrides(image="evil:1"))

    assert violation == ImageNotAllowed("/Image", "evil:1", (IMAGE, *WHITELIST))
    assert violation.detail == (
        "image 'evil:1' is not allowed; allowed: 'axaguildev/fibonacci-batch:latest', 'axaguildev/fibonacci-batch:*'"
    )


def test_with_an_empty_whitelist_only_the_specified_image_is_allowed() -> None:
    assert wrong(Definition(image="a:1"), Overrides(image="a:2")) == (ImageNotAllowed("/Image", "a:2", ("a:1",)),)


@pytest.mark.parametrize("image", [None, ""])
def test_no_image_at_all_is_refused(image: str | None) -> None:
    (violation,) = wrong(Definition(), Overrides(image=image))

    assert violation == NoImage("/Image", ())
    assert "give it an Image or an ImagesWhitelist" in violation.detail


def test_where_only_the_whitelist_gives_images_a_trigger_must_choose_one() -> None:
    definition = Definition(images_whitelist=("a:*",))

    assert wrong(definition, Overrides(image="a:1")) == ()
    (violation,) = wrong(definition, Overrides(args=("1",)))
    assert violation == NoImage("/Image", ("a:*",))
    assert violation.detail.endswith("allowed: 'a:*'")


def test_a_definition_with_a_command_needs_no_image_but_for_an_orchestrator_that_does() -> None:
    definition = Definition(command=("fibonacci",))

    assert check(definition, Overrides(), image_required=False) == NO_VIOLATIONS
    assert check(definition, Overrides(), image_required=True).invalid == (NoImage("/Image", ()),)


def test_a_command_opens_the_way_for_no_image() -> None:
    assert wrong(Definition(command=("fibonacci",)), Overrides(image="a:1")) == (ImageNotAllowed("/Image", "a:1", ()),)


# Resources ----------------------------------------------------------------------------------------------------------

BOTH = Resources({"cpu": "400m", "memory": "400Mi"}, {"cpu": "1", "memory": "1Gi"})
REQUESTS_ONLY = Resources(requests={"cpu": "400m"})
LIMITS_ONLY = Resources(limits={"cpu": "1", "x/gpu": "2"})
CONTRADICTORY = Resources({"cpu": "1"}, {"cpu": "0"})


@pytest.mark.parametrize(
    ("defined", "asked"),
    [
        (BOTH, Resources()),
        (BOTH, Resources({"cpu": "400m", "memory": "400Mi"}, {"cpu": "1", "memory": "1Gi"})),
        (BOTH, Resources({"cpu": "200m"})),
        (BOTH, Resources({"cpu": "0"})),
        (BOTH, Resources({}, {"memory": "400Mi"})),
        (BOTH, Resources({"memory": "419430400"}, {"memory": "1073741824"})),
        (BOTH, Resources({}, {"memory": "1G"})),
        (BOTH, Resources({"cpu": "4e-1"}, {"cpu": "1e0"})),
        (REQUESTS_ONLY, Resources({}, {"cpu": "400m"})),
        (LIMITS_ONLY, Resources({"cpu": "1"})),
        (LIMITS_ONLY, Resources({}, {"x/gpu": "0"})),
    ],
)
def test_amounts_up_to_the_ceiling_are_taken(defined: Resources, asked: Resources) -> None:
    assert wrong(Definition(image=IMAGE, resources=defined), Overrides(resources=asked)) == ()


@pytest.mark.parametrize(
    ("defined", "asked", "violations"),
    [
        # A limit is capped by the limit, a request by the request.
        (BOTH, Resources({}, {"memory": "2Gi"}), [ResourceAboveCeiling("/Resources/Limits/memory", "2Gi", "1Gi")]),
        (BOTH, Resources({"cpu": "401m"}), [ResourceAboveCeiling("/Resources/Requests/cpu", "401m", "400m")]),
        (BOTH, Resources({}, {"memory": "1100M"}), [ResourceAboveCeiling("/Resources/Limits/memory", "1100M", "1Gi")]),
        # Where the definition has only one of the two, that one caps both.
        (LIMITS_ONLY, Resources({"cpu": "1100m"}), [ResourceAboveCeiling("/Resources/Requests/cpu", "1100m", "1")]),
        (REQUESTS_ONLY, Resources({}, {"cpu": "1"}), [ResourceAboveCeiling("/Resources/Limits/cpu", "1", "400m")]),
        # What the definition does not name cannot be asked for, not even none of it.
        (REQUESTS_ONLY, Resources({}, {"gpu": "1"}), [UnknownResource("/Resources/Limits/gpu", "gpu", ("cpu",))]),
        (Resources(), Resources({"cpu": "0"}), [UnknownResource("/Resources/Requests/cpu", "cpu", ())]),
        # A request above its limit, once merged: said where the trigger can mend it.
        (BOTH, Resources({}, {"cpu": "200m"}), [RequestAboveLimit("/Resources/Limits/cpu", "400m", "200m")]),
        (BOTH, Resources({"cpu": "3m"}, {"cpu": "2m"}), [RequestAboveLimit("/Resources/Requests/cpu", "3m", "2m")]),
        # Told once: who lowers it to the ceiling is below the limit too.
        (BOTH, Resources({"cpu": "2"}), [ResourceAboveCeiling("/Resources/Requests/cpu", "2", "400m")]),
        # To Kubernetes a limit of zero is none.
        (BOTH, Resources({}, {"memory": "0"}), [BoundlessLimit("/Resources/Limits/memory", "1Gi")]),
        (BOTH, Resources({"cpu": "0"}, {"cpu": "0"}), [BoundlessLimit("/Resources/Limits/cpu", "1")]),
        (REQUESTS_ONLY, Resources({}, {"cpu": "0"}), [BoundlessLimit("/Resources/Limits/cpu", "400m")]),
        # A definition that contradicts itself is no excuse for what a trigger touches.
        (CONTRADICTORY, Resources({"cpu": "1m"}), [RequestAboveLimit("/Resources/Requests/cpu", "1m", "0")]),
        # A slash in a name is escaped in the pointer.
        (LIMITS_ONLY, Resources({}, {"x/gpu": "3"}), [ResourceAboveCeiling("/Resources/Limits/x~1gpu", "3", "2")]),
    ],
)  # fmt: skip
def test_resources_are_refused_with_the_ceiling(
    defined: Resources, asked: Resources, violations: list[Violation]
) -> None:
    assert list(wrong(Definition(image=IMAGE, resources=defined), Overrides(resources=asked))) == violations


def test_a_detail_names_what_was_asked_and_the_ceiling() -> None:
    (violation,) = wrong(FIBONACCI, Overrides(resources=Resources({}, {"memory": "2Gi"})))

    assert violation.detail == "2Gi is above the job's ceiling of 400Mi"


# Environments -------------------------------------------------------------------------------------------------------

SECRET = b'{"secretKeyRef":{"key":"password","name":"database"}}'
OPTIONAL_SECRET = b'{"secretKeyRef":{"key":"password","name":"database","optional":true}}'
OTHER_KEY = b'{"secretKeyRef":{"key":"admin","name":"database"}}'
CONFIG_MAP = b'{"configMapKeyRef":{"key":"password","name":"database"}}'
FIELD = b'{"fieldRef":{"fieldPath":"metadata.name"}}'
RESOURCE_FIELD = b'{"resourceFieldRef":{"resource":"limits.cpu"}}'
WITH_SECRET = Definition(image=IMAGE, environments=(EnvironmentVariable("PASSWORD", value_from=SECRET),))


@pytest.mark.parametrize(
    "variable",
    [
        EnvironmentVariable("NEW", "value"),
        EnvironmentVariable("PASSWORD", "literal"),
        EnvironmentVariable("PASSWORD", value_from=SECRET),
        EnvironmentVariable("UNDER_ANOTHER_NAME", value_from=SECRET),
        EnvironmentVariable("PASSWORD", value_from=OPTIONAL_SECRET),
        EnvironmentVariable("POD", value_from=FIELD),
        EnvironmentVariable("CORES", value_from=RESOURCE_FIELD),
    ],
)
def test_literals_references_into_the_pod_and_the_definitions_own_are_free(variable: EnvironmentVariable) -> None:
    assert check(WITH_SECRET, Overrides(environments=(variable,))) == NO_VIOLATIONS


@pytest.mark.parametrize(
    ("reference", "kind", "key"),
    [(OTHER_KEY, "secretKeyRef", "admin"), (CONFIG_MAP, "configMapKeyRef", "password")],
)
def test_a_reference_that_the_definition_does_not_have_is_forbidden(reference: bytes, kind: str, key: str) -> None:
    overrides = Overrides(environments=(EnvironmentVariable("A", "1"), EnvironmentVariable("B", value_from=reference)))

    violations = check(WITH_SECRET, overrides)

    assert violations.forbidden == (ReferenceNotAllowed("/Environments/1/valueFrom", kind, "database", key),)
    assert violations.invalid == ()
    assert "AllowReferenceOverrides" in violations.forbidden[0].detail


def test_a_kind_of_reference_that_nobody_knows_is_forbidden_too() -> None:
    reference = b'{"fileKeyRef":{"key":"password","path":"/etc/x"}}'

    violations = check(WITH_SECRET, Overrides(environments=(EnvironmentVariable("A", value_from=reference),)))

    assert violations.forbidden == (ReferenceNotAllowed("/Environments/0/valueFrom", "fileKeyRef", "", "password"),)


def test_a_definition_may_open_itself_to_references() -> None:
    definition = Definition(image=IMAGE, allow_reference_overrides=True)

    assert check(definition, Overrides(environments=(EnvironmentVariable("A", value_from=SECRET),))) == NO_VIOLATIONS


# The rest -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, MOST])
def test_numbers_are_what_kubernetes_takes(number: int) -> None:
    assert wrong(FIBONACCI, Overrides(backoff_limit=number, ttl_seconds_after_finished=number)) == ()


@pytest.mark.parametrize("number", [-1, MOST + 1])
def test_numbers_that_kubernetes_does_not_take_are_refused(number: int) -> None:
    assert wrong(FIBONACCI, Overrides(backoff_limit=number, ttl_seconds_after_finished=number)) == (
        NumberOutOfRange("/BackoffLimit", number, MOST),
        NumberOutOfRange("/TtlSecondsAfterFinished", number, MOST),
    )


def test_args_dependencies_and_the_restart_policy_are_free() -> None:
    overrides = Overrides(args=("42", "43"), depends_on=(), restart_policy=RestartPolicy.ON_FAILURE)

    assert check(FIBONACCI, overrides) is NO_VIOLATIONS


def test_everything_wrong_is_told_at_once_below_the_triggers_place_in_a_batch() -> None:
    overrides = Overrides(
        image="evil:1",
        resources=Resources({"gpu": "1"}, {"memory": "2Gi"}),
        environments=(EnvironmentVariable("A", value_from=SECRET),),
        backoff_limit=-1,
    )

    assert check(FIBONACCI, overrides, "/3") == Violations(
        invalid=(
            ImageNotAllowed("/3/Image", "evil:1", (IMAGE, *WHITELIST)),
            UnknownResource("/3/Resources/Requests/gpu", "gpu", ("cpu", "memory")),
            ResourceAboveCeiling("/3/Resources/Limits/memory", "2Gi", "400Mi"),
            NumberOutOfRange("/3/BackoffLimit", -1, MOST),
        ),
        forbidden=(ReferenceNotAllowed("/3/Environments/0/valueFrom", "secretKeyRef", "database", "password"),),
    )


def test_a_detail_stays_short_whatever_was_sent_and_however_much_is_allowed() -> None:
    many = Definition(image=IMAGE, images_whitelist=tuple(f"image{number}:*" for number in range(100)))

    (violation,) = wrong(many, Overrides(image="x" * 1000))

    assert violation.detail.startswith(f"image '{'x' * 100}...' is not allowed")
    assert violation.detail.endswith("'image8:*' and 91 more")


# The promise --------------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(["cpu", "memory", "x/gpu"])
AMOUNTS = st.sampled_from(["0", "1n", "100m", "400m", "1", "1e0", "1024", "1Ki", "1k", "2Gi"])
RESOURCES = st.builds(Resources, requests=st.dictionaries(KEYS, AMOUNTS), limits=st.dictionaries(KEYS, AMOUNTS))


def within(amounts: Mapping[str, str], ceilings: Mapping[str, str]) -> bool:
    """Whether no amount is above the ceiling of its name, where it has one."""
    return all(parse_quantity(amount) <= parse_quantity(ceilings.get(name, amount)) for name, amount in amounts.items())


def promise_holds(defined: Resources, asked: Resources, merged: Resources) -> bool:
    """Nothing new, nothing above its ceiling, and no request that the trigger touched above its limit."""
    touched = {name: amount for name, amount in merged.requests.items() if name in {*asked.requests, *asked.limits}}
    return (
        {*merged.requests, *merged.limits} == {*defined.requests, *defined.limits}
        and within(merged.limits, {**defined.requests, **defined.limits})
        and within(merged.requests, {**defined.limits, **defined.requests})
        and within(touched, merged.limits)
    )


@given(RESOURCES, RESOURCES)
def test_what_passes_never_exceeds_the_definition_once_merged(defined: Resources, asked: Resources) -> None:
    definition, overrides = Definition(image=IMAGE, resources=defined), Overrides(resources=asked)

    passes = check(definition, overrides) is NO_VIOLATIONS

    assert not passes or promise_holds(defined, asked, effective(definition, overrides).resources)


@given(RESOURCES)
def test_a_definition_without_contradiction_may_be_asked_for_as_it_is(defined: Resources) -> None:
    passes = check(Definition(image=IMAGE, resources=defined), Overrides(resources=defined)) is NO_VIOLATIONS

    assert passes or not within(defined.requests, defined.limits)
