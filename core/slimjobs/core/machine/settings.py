"""How a node machine behaves, as far as its surroundings decide it."""

from __future__ import annotations

import msgspec

from slimjobs.core.decide.decision import Limits


class MachineSettings(msgspec.Struct, frozen=True):
    """Times are in the unit of the name. `image_required`: the orchestrator cannot run anything without an image."""

    limits: Limits = Limits()
    patience_seconds: float = 5.0
    election_milliseconds: int = 1000
    snapshot_interval_entries: int = 50_000
    snapshot_interval_bytes: int = 32 << 20
    image_required: bool = False
