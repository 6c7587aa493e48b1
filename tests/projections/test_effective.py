"""The effective definition: what a trigger replaces, what merges, and what stays the definition's whatever comes."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from slimjobs.eventlog.events.definitions import (
    Definition,
    EnvironmentVariable,
    Overrides,
    Resources,
    RestartPolicy,
    Visibility,
)
from slimjobs.projections.effective import effective

DEFINED = Definition(
    image="axaguildev/fibonacci-batch:latest",
    images_whitelist=("axaguildev/fibonacci-batch:*",),
    resources=Resources({"cpu": "400m", "memory": "400Mi"}, {"cpu": "400m", "memory": "400Mi"}),
    depends_on=("fibonacci1",),
    environments=(EnvironmentVariable("FIRST", "1"), EnvironmentVariable("SECOND", "2")),
    backoff_limit=1,
    visibility=Visibility.PUBLIC,
    number_parallel_job=2,
    ttl_seconds_after_finished=36000,
    restart_policy=RestartPolicy.NEVER,
    args=("42",),
    command=("fibonacci",),
    pod_template=b"{}",
)


def test_overrides_of_nothing_are_the_definition_itself() -> None:
    assert effective(DEFINED, Overrides()) is DEFINED


def test_args_replace_the_definitions_and_an_empty_list_clears_them() -> None:
    assert effective(DEFINED, Overrides(args=("1", "2"))).args == ("1", "2")
    assert effective(DEFINED, Overrides(args=())).args == ()


def test_an_image_replaces_the_definitions_and_an_empty_one_does_not() -> None:
    assert effective(DEFINED, Overrides(image="other:1")).image == "other:1"
    assert effective(DEFINED, Overrides(image="")) is DEFINED


def test_resources_merge_by_kind_and_key() -> None:
    asked = Resources(requests={"cpu": "200m"}, limits={"memory": "200Mi"})

    merged = effective(DEFINED, Overrides(resources=asked)).resources

    assert merged == Resources({"cpu": "200m", "memory": "400Mi"}, {"cpu": "400m", "memory": "200Mi"})


def test_environments_merge_by_name_and_the_trigger_wins() -> None:
    asked = (EnvironmentVariable("SECOND", "two"), EnvironmentVariable("THIRD", "3"))

    assert effective(DEFINED, Overrides(environments=asked)).environments == (
        EnvironmentVariable("FIRST", "1"),
        EnvironmentVariable("SECOND", "two"),
        EnvironmentVariable("THIRD", "3"),
    )


def test_a_literal_takes_the_place_of_a_reference_whole() -> None:
    definition = Definition(environments=(EnvironmentVariable("TOKEN", value_from=b'{"secretKeyRef":{}}'),))

    merged = effective(definition, Overrides(environments=(EnvironmentVariable("TOKEN", "none"),)))

    assert merged.environments == (EnvironmentVariable("TOKEN", "none"),)


def test_environments_of_a_trigger_that_are_empty_leave_the_definitions() -> None:
    assert effective(DEFINED, Overrides(environments=())).environments == DEFINED.environments


def test_dependencies_replace_the_definitions_and_an_empty_list_clears_them() -> None:
    assert effective(DEFINED, Overrides(depends_on=("fibonacci2",))).depends_on == ("fibonacci2",)
    assert effective(DEFINED, Overrides(depends_on=())).depends_on == ()


def test_numbers_and_the_restart_policy_are_replaced_also_by_zero() -> None:
    overridden = effective(
        DEFINED,
        Overrides(backoff_limit=0, ttl_seconds_after_finished=0, restart_policy=RestartPolicy.ON_FAILURE),
    )

    assert overridden.backoff_limit == 0
    assert overridden.ttl_seconds_after_finished == 0
    assert overridden.restart_policy is RestartPolicy.ON_FAILURE


NAMES = st.sampled_from(["a", "b", "c", "d"])
AMOUNTS = st.dictionaries(NAMES, st.sampled_from(["1", "2", "3"]))
RESOURCES = st.builds(Resources, requests=AMOUNTS, limits=AMOUNTS)
VARIABLES = st.lists(
    st.builds(EnvironmentVariable, name=NAMES, value=st.sampled_from(["1", "2"])), unique_by=lambda v: v.name
).map(tuple)
STRINGS = st.lists(NAMES).map(tuple)
OVERRIDES = st.builds(
    Overrides,
    args=st.none() | STRINGS,
    image=st.none() | st.just("") | NAMES,
    resources=st.none() | RESOURCES,
    environments=st.none() | VARIABLES,
    depends_on=st.none() | STRINGS,
    backoff_limit=st.none() | st.integers(0, 3),
    ttl_seconds_after_finished=st.none() | st.integers(0, 3),
    restart_policy=st.none() | st.sampled_from(RestartPolicy),
)
DEFINITIONS = st.builds(
    Definition, image=NAMES, resources=RESOURCES, environments=VARIABLES, command=STRINGS, depends_on=STRINGS
)


@given(DEFINITIONS, OVERRIDES)
def test_what_is_not_open_to_overrides_is_the_definitions_whatever_comes(
    definition: Definition, overrides: Overrides
) -> None:
    merged = effective(definition, overrides)

    closed = set(Definition.__struct_fields__) - set(Overrides.__struct_fields__)
    assert {"command", "pod_template", "visibility", "number_parallel_job", "images_whitelist"} <= closed
    assert {field: getattr(merged, field) for field in closed} == {
        field: getattr(definition, field) for field in closed
    }


@given(DEFINITIONS, OVERRIDES)
def test_merging_twice_is_merging_once(definition: Definition, overrides: Overrides) -> None:
    once = effective(definition, overrides)

    assert effective(once, overrides) == once


@given(DEFINITIONS, OVERRIDES)
def test_merging_survives_the_way_through_the_log(definition: Definition, overrides: Overrides) -> None:
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(overrides), type=Overrides)

    assert effective(definition, stored) == effective(definition, overrides)


@given(DEFINITIONS, VARIABLES)
def test_variables_keep_the_definitions_order_and_new_ones_follow_in_the_triggers(
    definition: Definition, asked: tuple[EnvironmentVariable, ...]
) -> None:
    names = [variable.name for variable in effective(definition, Overrides(environments=asked)).environments]

    defined = [variable.name for variable in definition.environments]
    assert names == defined + [variable.name for variable in asked if variable.name not in defined]
