"""Every scenario of `scenarios.json` holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.eventlog.raft.scenario import Scenario

STORIES = json.loads(Path(__file__).with_name("scenarios.json").read_text())["scenarios"]


def test_there_are_63_of_them() -> None:
    assert len(STORIES) == 63


@pytest.mark.parametrize("story", STORIES, ids=[story["id"] for story in STORIES])
def test_holds(story: dict[str, Any]) -> None:  # parsed JSON has no narrower type
    Scenario(story).play()
