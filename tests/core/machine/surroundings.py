"""Simulated surroundings: services that start when they are scaled, and whoever looks at them, each in its own time."""

from __future__ import annotations

from collections import deque

import msgspec

from slimjobs.core.orchestrators.ports import (
    Accepted,
    DefinitionsFound,
    FoundDefinition,
    Missing,
    ObservedService,
    Outcome,
    Scale,
    Scaling,
    ServiceChanged,
    ServicesListed,
    ServiceVanished,
    Sight,
    Unseen,
)
from tests.core.machine.invariants import Checked, Invariant

SLEEPS = "it sleeps"
STARTS = "0 of 1 replicas are ready"


class SimulatedSurroundings:
    """Services and declared definitions by name."""

    def __init__(self, checked: Checked) -> None:
        self.services: dict[str, ObservedService] = {}
        self.declared: dict[str, FoundDefinition] = {}
        self.sights: dict[str, deque[Sight]] = {}
        """What each looker has yet to see, in order."""
        self._checked = checked
        self._versions = 0

    def put(
        self, name: str, *, ready: bool = True, replicas: int = 1, reason: str = "", scaling: Scaling | None = None
    ) -> None:
        """A service is so from now on."""
        self._versions += 1
        service = ObservedService(
            name, ready, "" if ready else reason or STARTS, replicas, f"v{self._versions}", scaling
        )
        self.services[name] = service
        self._tell(ServiceChanged(service))

    def change(self, name: str, **fields: object) -> None:
        """A service changes by itself, or by somebody else's hand."""
        self._versions += 1
        changed = msgspec.structs.replace(self.services[name], version=f"v{self._versions}", **fields)
        self.services[name] = changed
        self._tell(ServiceChanged(changed))

    def vanish(self, name: str) -> None:
        """Somebody removes it."""
        if self.services.pop(name, None) is not None:
            self._tell(ServiceVanished(name))

    def declare(self, found: FoundDefinition) -> None:
        """Somebody applies an annotated CronJob, as it reads: good, or broken."""
        self.declared[found.name] = found
        self._tell(self._declarations())

    def undeclare(self, name: str) -> None:
        """Somebody removes it."""
        del self.declared[name]
        self._tell(self._declarations())

    def lose_sight_of_declarations(self, looker: str) -> None:
        """What it watched of CronJobs breaks: it is told so, and sees them all anew, after what it has yet to see."""
        if looker in self.sights:
            self.sights[looker] += (Unseen("definitions", "connection lost"), self._declarations())

    def lose_sight_of(self, looker: str) -> None:
        """What it watched breaks: it is told so, and sees all of it anew."""
        if looker in self.sights:
            self.sights[looker] = deque([Unseen("services", "connection lost"), self._all(), self._declarations()])

    def look_for(self, looker: str) -> None:
        """Somebody begins to look."""
        self.sights[looker] = deque([self._all(), self._declarations()])

    def look_away(self, looker: str) -> None:
        """It looks no more."""
        self.sights.pop(looker, None)

    def next_for(self, looker: str) -> Sight | None:
        """What it sees next. A list is of the moment at which it is seen; what came before it is in it."""
        ahead = self.sights.get(looker)
        if not ahead:
            return None
        sight = ahead.popleft()
        if isinstance(sight, ServicesListed):
            self.sights[looker] = deque(
                each for each in ahead if not isinstance(each, ServiceChanged | ServiceVanished)
            )
            return self._all()
        return sight

    def perform(self, scale: Scale) -> Outcome:
        """Scale as the Kubernetes API would, and judge whether that may be asked for."""
        service = self.services.get(scale.name)
        if service is None or service.version != scale.version:
            return Missing()
        self._checked.look(Invariant.SLEEP)
        assert service.scaling is not None, f"{scale.name} is not ours to scale"
        if scale.replicas > service.replicas:
            assert service.replicas == 0, f"{scale.name} is woken though it does not sleep"
            self.change(scale.name, replicas=scale.replicas, ready=False, reason=STARTS)
        else:
            assert scale.replicas == service.scaling.replicas_min, f"{scale.name} is scaled down to {scale.replicas}"
            self.change(scale.name, replicas=scale.replicas, ready=scale.replicas > 0, reason=SLEEPS)
        return Accepted()

    def starting(self) -> list[str]:
        """Those that will be ready some time by themselves."""
        return [name for name, each in self.services.items() if each.replicas and not each.ready and each.scaling]

    def _all(self) -> ServicesListed:
        return ServicesListed(tuple(self.services[name] for name in sorted(self.services)))

    def _declarations(self) -> DefinitionsFound:
        return DefinitionsFound(tuple(self.declared[name] for name in sorted(self.declared)))

    def _tell(self, sight: Sight) -> None:
        for ahead in self.sights.values():
            ahead.append(sight)
