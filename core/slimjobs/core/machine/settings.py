"""How a node machine behaves, as far as its surroundings decide it."""

from __future__ import annotations

import msgspec

from slimjobs.core.decide.decision import Limits
from slimjobs.eventlog.events.record import EVENT_LEVEL


class MachineSettings(msgspec.Struct, frozen=True):
    """Times are in the unit of the name. `image_required`: the orchestrator cannot run anything without an image.

    `peers` are all nodes there should be, this one included, with their addresses; empty: this one alone. `event_level`
    is the highest that this node understands.
    """

    limits: Limits = Limits()
    patience_seconds: float = 5.0
    election_milliseconds: int = 1000
    snapshot_interval_entries: int = 50_000
    snapshot_interval_bytes: int = 32 << 20
    image_required: bool = False
    name: str = "node"
    peers: dict[str, str] = {}
    event_level: int = EVENT_LEVEL
    version: str = ""
    max_clock_skew_seconds: float = 5.0
    default_time_zone: str = "UTC"

    @property
    def configured(self) -> tuple[str, ...]:
        """The names of all nodes that there should be."""
        return tuple(self.peers) or (self.name,)
