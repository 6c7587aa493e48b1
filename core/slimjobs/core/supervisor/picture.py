"""What is around, as this leader has seen it: the services that runs may depend on. As old as the last that was seen.

Nothing is concluded from not seeing: a picture that grows old stays as it is until there is a new one (contract §3).
"""

from __future__ import annotations

from slimjobs.core.orchestrators.ports import (
    ObservedService,
    ServiceChanged,
    ServicesListed,
    ServiceVanished,
    Sight,
    Unseen,
)

NOT_THERE = "it does not exist"


class Picture:
    """The services by name. `listed`: all of them were seen in this reign, so what is not here does not exist."""

    def __init__(self) -> None:
        self.listed = False
        self.trouble = ""
        self.services: dict[str, ObservedService] = {}

    def take(self, sight: Sight) -> None:
        """Take in what was seen of services."""
        match sight:
            case ServicesListed(services):
                self.services = {service.name: service for service in services}
                self.listed, self.trouble = True, ""
            case ServiceChanged(service):
                self.services[service.name] = service
            case ServiceVanished(name):
                self.services.pop(name, None)
            case Unseen("services", detail):
                self.trouble = detail

    def readiness(self, name: str) -> tuple[bool, str]:
        """Whether a service is ready, and if not, why."""
        service = self.services.get(name)
        if service is None:
            return False, NOT_THERE
        return service.ready, "" if service.ready else service.reason
