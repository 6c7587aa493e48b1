"""Where the output of an attempt is: in which pod, of which container, and how it is asked for."""

from __future__ import annotations

from typing import Final

import pytest

from slimjobs.core.orchestrators.kubernetes.objects import PodObject
from slimjobs.core.orchestrators.kubernetes.outputs import Place, Wanted, log_path, place_of
from slimjobs.core.orchestrators.ports import OutputMissing
from tests.core.orchestrators.kubernetes.objects import NAME, UID, container, ended, pod_object, running, waiting

CRASHED: Final = container(running(20), ended(1, 5, 9), restarts=3)
FIRST: Final = pod_object("Failed", container(ended(1)))
SECOND: Final = pod_object("Running", container(running(30)), uid="pod-2", created=29)


@pytest.mark.parametrize(
    ("pods", "lost", "attempt", "place"),
    [
        ((FIRST,), 0, None, Place("pod-1", "main", False)),
        ((SECOND, FIRST), 0, None, Place("pod-2", "main", False)),
        ((SECOND, FIRST), 0, 1, Place("pod-1", "main", False)),
        ((SECOND,), 1, 2, Place("pod-2", "main", False)),
        # The latest pod waits: what is known is the one before.
        ((FIRST, pod_object(uid="pod-2", created=29)), 0, None, Place("pod-1", "main", False)),
        ((pod_object("Running", CRASHED),), 0, 4, Place("pod-1", "main", False)),
        ((pod_object("Running", CRASHED),), 0, 3, Place("pod-1", "main", True)),
        # While it waits to be begun again, the latest container is the one that ended.
        (
            (pod_object("Running", container(waiting("CrashLoopBackOff"), ended(1), restarts=3)),),
            0,
            None,
            Place("pod-1", "main", False),
        ),
        # The job's own container is the first, whatever order a node reports in.
        (
            (pod_object("Running", container(running()), container(running(), name="beside")),),
            0,
            None,
            Place("pod-1", "main", False),
        ),
    ],
)
def test_an_attempt_has_a_place(pods: tuple[PodObject, ...], lost: int, attempt: int | None, place: Place) -> None:
    assert place_of(NAME, pods, lost, attempt) == place


@pytest.mark.parametrize(
    ("pods", "lost", "attempt", "why"),
    [
        ((), 0, None, f"no attempt of {NAME} has started yet"),
        ((pod_object(),), 0, 1, f"no attempt of {NAME} has started yet"),
        ((), 2, None, f"the output of attempt 2 of {NAME} is not there .*: there is none"),
        ((SECOND,), 1, 1, f"the output of attempt 1 of {NAME} is not there .*: there is 2"),
        ((FIRST, SECOND), 0, 3, f"the output of attempt 3 of {NAME} is not there .*: there is 1, 2"),
        ((pod_object("Running", CRASHED),), 0, 2, f"the output of attempt 2 of {NAME} is not there .*: there is 3, 4"),
    ],
)
def test_an_output_that_is_not_there_is_missing_with_a_reason(
    pods: tuple[PodObject, ...], lost: int, attempt: int | None, why: str
) -> None:
    with pytest.raises(OutputMissing, match=why):
        place_of(NAME, pods, lost, attempt)


@pytest.mark.parametrize(
    ("previous", "tail_lines", "follow", "query"),
    [
        (False, None, False, "container=main"),
        (False, 0, True, "container=main&follow=true&tailLines=0"),
        (True, 5, True, "container=main&previous=true&tailLines=5"),
    ],
)
def test_an_output_is_asked_for_as_it_is_wanted(
    previous: bool, tail_lines: int | None, follow: bool, query: str
) -> None:
    wanted = Wanted(NAME, UID, None, tail_lines, follow)
    path = log_path("demo", Place("pod-1", "main", previous), wanted)
    assert path == f"/api/v1/namespaces/demo/pods/pod-1/log?{query}"
