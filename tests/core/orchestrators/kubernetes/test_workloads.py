"""Deployments and StatefulSets as services: when they are ready, why they are not, how they sleep."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
import pytest

from slimjobs.core.orchestrators.kubernetes.workloads import (
    PodMeta,
    PodTemplate,
    Workload,
    WorkloadMeta,
    WorkloadSpec,
    WorkloadStatus,
    observed_service,
)
from slimjobs.core.orchestrators.ports import ObservedService, Scaling


def workload(
    replicas: int, ready: int, seen: int = 1, template: bool = True, notes: Mapping[str, str] = MappingProxyType({})
) -> Workload:
    notes = {f"SlimFaas/{name}": value for name, value in notes.items()}
    pod, own = (notes, {}) if template else ({}, notes)
    return Workload(
        WorkloadMeta("db", own, generation=1, resource_version="7"),
        WorkloadSpec(replicas, PodTemplate(PodMeta(pod))),
        WorkloadStatus(seen, ready),
    )


@pytest.mark.parametrize(
    ("replicas", "ready", "seen", "least", "reason"),
    [
        (1, 1, 1, None, ""),
        (3, 1, 1, None, ""),
        (1, 3, 1, None, ""),
        (3, 2, 1, "2", ""),
        (3, 1, 1, "2", "1 of 3 replicas are ready"),
        (1, 1, 1, "2", "1 of 2 replicas are ready"),
        (1, 0, 1, None, "0 of 1 replicas are ready"),
        (0, 0, 1, None, "it has no replicas"),
        (0, 1, 1, None, "it has no replicas"),
        (1, 1, 0, None, "its newest version has not been looked at by Kubernetes yet"),
        (1, 1, 1, "0", ""),
    ],
)
def test_when_it_is_ready_and_why_not(replicas: int, ready: int, seen: int, least: str | None, reason: str) -> None:
    annotations = {} if least is None else {"ReplicasMin": least}
    assert observed_service(workload(replicas, ready, seen, notes=annotations)) == ObservedService(
        "db", not reason, reason, replicas
    )


@pytest.mark.parametrize("template", [True, False])
def test_one_that_says_so_sleeps_and_wakes(template: bool) -> None:
    notes = {"Function": "true", "ReplicasAtStart": "2", "ReplicasMin": "0", "TimeoutSecondBeforeSetReplicasMin": "60"}
    found = observed_service(workload(0, 0, template=template, notes=notes))
    assert (found.scaling, found.version) == (Scaling(2, 0, 60), "7")
    assert observed_service(workload(0, 0, template=template, notes={"Function": "True"})).scaling == Scaling(1, 0, 300)


def test_annotations_of_the_pod_template_win() -> None:
    both = msgspec.structs.replace(
        workload(1, 1, notes={"Function": "true"}), metadata=WorkloadMeta("db", {"SlimFaas/Function": "false"}, 1, "7")
    )
    assert observed_service(both).scaling == Scaling()


@pytest.mark.parametrize("name", ["ReplicasMin", "ReplicasAtStart", "TimeoutSecondBeforeSetReplicasMin"])
@pytest.mark.parametrize("value", ["two", "-1", "1.5", "9" * 11])
def test_one_with_a_broken_annotation_is_not_scaled_and_says_why(name: str, value: str) -> None:
    found = observed_service(workload(0, 0, notes={"Function": "true", name: value}))
    assert found.scaling is None
    assert f"its annotation SlimFaas/{name} takes a whole number" in found.reason


def test_what_is_not_ours_to_scale_has_no_version() -> None:
    assert observed_service(workload(1, 1)).version == ""
