"""Every route that there is. Who adds one to `routes` adds its entry to the part of its subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from slimjobs.http.openapi.of_cluster import CLUSTER
from slimjobs.http.openapi.of_node import NODE
from slimjobs.http.openapi.of_runs import RUNS
from slimjobs.http.openapi.of_schedules import SCHEDULES
from slimjobs.http.openapi.parts import Route

ROUTES: Final[tuple[Route, ...]] = (*RUNS, *SCHEDULES, *CLUSTER, *NODE)

SUBJECTS: Final[Mapping[str, str]] = {
    "runs": "Jobs are triggered; each time is a run.",
    "schedules": "Jobs that are triggered by themselves.",
    "cluster": "The nodes that hold the log; for internal callers only.",
    "node": "The node that is asked.",
    "methods": "What each path takes.",
}
