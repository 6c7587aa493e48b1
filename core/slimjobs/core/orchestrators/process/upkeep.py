"""The services that the runner keeps: declared, scaled, watched, and found ready when they answer (contract §6).

Stands beside `runner.py`, with its guard and its settings. Whatever changes a service is a step of `services.py`, taken
in one place here; what follows from it are posts, which have processes stand, and a look at the port while it is not
known whether that answers.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

import structlog
import trio

from slimjobs.core.configuration.services import Service
from slimjobs.core.orchestrators.ports import (
    Accepted,
    DefinitionsFound,
    Missing,
    Outcome,
    Scale,
    ServiceChanged,
    ServicesListed,
    ServiceVanished,
    Sight,
    Unavailable,
)
from slimjobs.core.orchestrators.process.answering import Pauses, answers
from slimjobs.core.orchestrators.process.posts import Post, Step
from slimjobs.core.orchestrators.process.pursuits import Workplace
from slimjobs.core.orchestrators.process.services import KeptService, declared_anew, found, observed, scaled
from slimjobs.core.orchestrators.process.strays import end_strays, of_services
from slimjobs.core.orchestrators.process.watching import Watchers

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.runner")


def prepare(outputs: Path) -> None:
    """Make the folder, with nothing of a former runner left: neither processes nor what they wrote. Blocks.

    OSError if the disk refuses.
    """
    outputs.mkdir(mode=0o700, parents=True, exist_ok=True)
    left = list(outputs.iterdir())
    if left:
        end_strays(of_services(outputs))
    for path in left:
        path.unlink()


class Upkeep:
    """All services of a runner, a `declared.ServiceHost`. `outputs` is the folder that `prepare` made."""

    def __init__(self, at: Workplace, outputs: Path, nursery: trio.Nursery) -> None:
        self._at = at
        self._outputs = outputs
        self._nursery = nursery
        self._kept: dict[str, KeptService] = {}
        self._posts: dict[tuple[str, int], Post] = {}
        self._looked_at: set[str] = set()
        self.watchers: Watchers[Sight] = Watchers(DefinitionsFound(()), self._list)
        self._idle = trio.Event()
        # A version of a former runner must never be taken for one of this.
        self._life = uuid.uuid4().hex[:12]
        self._versions = 0

    # What nodes ask ----------------------------------------------------------------------------------------------

    def lookout(self) -> Lookout:
        """One more who declares and watches."""
        return Lookout(self)

    async def scale(self, effect: Scale) -> Outcome:
        """Have so many replicas of a service, if it is of this version. See the port."""
        if self._at.closing.is_set():
            return Unavailable("the runner is closing")
        kept = self._kept.get(effect.name)
        if kept is None or kept.version != effect.version:
            return Missing()
        version = self._next_version()
        self._change(effect.name, lambda kept: scaled(kept, effect.replicas, version))
        _log.info("a service is scaled", service=effect.name, replicas=effect.replicas)
        return Accepted()

    def declare(self, declared: Mapping[str, Service]) -> None:
        """Have these services and no others. What is declared as before is not touched."""
        for name in self._kept.keys() - declared.keys():
            self._forget(name)
        for name, service in declared.items():
            if name in self._kept:
                self._declare_anew(name, service)
            else:
                self._put(KeptService(name, service, self._next_version()))

    async def close(self) -> None:
        """Return when no process is left. The workplace is closing."""
        for post in self._posts.values():
            post.look_up()
        while self._posts:
            self._idle = trio.Event()
            await self._idle.wait()

    # What happens to services ------------------------------------------------------------------------------------

    def _declare_anew(self, name: str, service: Service) -> None:
        version = self._next_version()
        self._change(name, lambda kept: declared_anew(kept, service, version))

    def _forget(self, name: str) -> None:
        del self._kept[name]
        self.watchers.publish(ServiceVanished(name))
        self._follow_up(name)

    def _change(self, name: str, step: Step) -> None:
        """Take a service one step on, if it is still there."""
        kept = self._kept.get(name)
        if kept is not None and (changed := step(kept)) != kept:
            self._put(changed)

    def _put(self, kept: KeptService) -> None:
        before = self._kept.get(kept.name)
        self._kept[kept.name] = kept
        shown = observed(kept)
        if before is None or observed(before) != shown:
            self.watchers.publish(ServiceChanged(shown))
        self._follow_up(kept.name)

    def _next_version(self) -> str:
        self._versions += 1
        return f"{self._life}.{self._versions}"

    def _list(self) -> ServicesListed:
        return ServicesListed(tuple(map(observed, self._kept.values())))

    # What follows from it ----------------------------------------------------------------------------------------

    def _follow_up(self, name: str) -> None:
        """See to what follows from the service as it is now: posts to leave or to take, and the port to look at."""
        for (of, _), post in self._posts.items():
            if of == name:
                post.look_up()
        kept = self._kept.get(name)
        if kept is None or self._at.closing.is_set():
            return
        for place in range(kept.replicas):
            if (name, place) not in self._posts:
                self._posts[name, place] = self._post(name, place)
                self._nursery.start_soon(self._man, name, place)
        if kept.doubtful and name not in self._looked_at:
            self._looked_at.add(name)
            self._nursery.start_soon(self._look_at_port, name)

    def _post(self, name: str, place: int) -> Post:
        output = self._outputs / f"{name}.{place}.output"
        return Post(self._at, place, output, lambda: self._kept.get(name), lambda step: self._change(name, step))

    async def _man(self, name: str, place: int) -> None:
        await self._posts[name, place].run()
        del self._posts[name, place]
        self._idle.set()

    async def _look_at_port(self, name: str) -> None:
        """Look until it is known to answer; a look at what has changed meanwhile does not count."""
        pauses = Pauses()
        while (kept := self._kept.get(name)) is not None and kept.doubtful and not self._at.closing.is_set():
            answered = await answers(kept.declared.ready_port)
            if self._kept.get(name) is kept:
                self._put(found(kept, answered))
            if not answered:
                await trio.sleep(pauses.next_seconds())
        self._looked_at.discard(name)


class Lookout:
    """One who declares services and sees what becomes of them. See `declared.Lookout`."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep
        self._watch = upkeep.watchers.watch()

    async def next(self, declared: Mapping[str, Service]) -> Sight:
        """Declare these, and give what is seen next."""
        self._upkeep.declare(declared)
        return await anext(self._watch)
