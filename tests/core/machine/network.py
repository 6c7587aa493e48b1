"""A simulated network for the letters of nodes: one connection a direction, as the real transport has them.

A connection from a to b stands while both processes live and the direction is not cut. The machine of a is told when it
comes and goes; the end of one that was cut is noticed late. Letters of a direction arrive in order, unless the weather
is bad: then they are lost, doubled, late, and overtake each other. They travel as bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

import msgspec

from slimjobs.core.machine.inputs import Input, Received
from slimjobs.core.machine.letters import Letter, decode_letter, encode_letter, malformed
from slimjobs.eventlog.raft import Message
from slimjobs.eventlog.transport.greeting import Greeting, PeerLost, PeerMet
from tests.core.machine.timeline import MILLISECOND, SECOND, Timeline


class Weather(msgspec.Struct, frozen=True):
    """Shares are of all letters. Only the words of consensus are doubled: a stream of bytes doubles nothing, and
    consensus does not even need that."""

    latency_ns: tuple[int, int] = (50_000, 500_000)
    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    late_ns: int = 2 * SECOND
    in_order: bool = True


FAIR = Weather()


class Door(msgspec.Struct, frozen=True):
    """Where a process can be reached: what it says of itself, and where it hears."""

    greeting: Callable[[], Greeting]
    hear: Callable[[Input], None]


class Link:
    """One direction. `met` is who was met at the far end, None while there is no connection; `door` is theirs."""

    def __init__(self) -> None:
        self.met: Greeting | None = None
        self.door: Door | None = None
        self.dialling: Door | None = None
        self.refusal_owed: Greeting | None = None
        self.last_arrival_ns = 0


Direction = tuple[str, str]


class Network:
    """Names are those of nodes. `overheard` sees every letter that is sent; those that `loses` picks do not arrive.

    `harm` counts what the weather did.
    """

    def __init__(self, timeline: Timeline, random: Random) -> None:
        self.weather = FAIR
        self.harm: Counter[str] = Counter()
        self.cut: set[Direction] = set()
        self.overheard: Callable[[str, Letter, bytes], None] = lambda sender, letter, content: None
        self.loses: Callable[[Letter], bool] = lambda letter: False
        self._timeline = timeline
        self._random = random
        self._doors: dict[str, Door] = {}
        self._asleep: set[str] = set()
        self._links: dict[Direction, Link] = {}

    # Processes ------------------------------------------------------------------------------------------------------

    def open(self, name: str, door: Door) -> None:
        """A process of this name is there."""
        self._doors[name] = door
        for other in sorted(self._doors.keys() - {name}):
            for direction in ((name, other), (other, name)):
                self._links.setdefault(direction, Link())
                self._dial_after(direction, self._random.randint(1, 50) * MILLISECOND)

    def close(self, name: str) -> None:
        """The process is gone: its own connections with it, and the others notice."""
        del self._doors[name]
        self._asleep.discard(name)
        for (near, far), link in self._links.items():
            if near == name:
                link.met = link.door = link.refusal_owed = None
            elif far == name and link.met is not None:
                delay_ns = self._random.randint(1, 50) * MILLISECOND
                self._timeline.after(delay_ns, partial(self._lose, (near, far), link.door))

    def sleep(self, name: str) -> None:
        """The process stands still: what was connected stays so, nothing new is."""
        self._asleep.add(name)

    def wake(self, name: str) -> None:
        """The process goes on."""
        self._asleep.discard(name)

    # Links ----------------------------------------------------------------------------------------------------------

    def sever(self, near: str, far: str) -> None:
        """Let nothing pass in this direction; who sends notices some time later."""
        self.cut.add((near, far))
        link = self._links.get((near, far))
        if link is not None and link.met is not None:
            delay_ns = self._random.randint(300, 3000) * MILLISECOND
            self._timeline.after(delay_ns, partial(self._notice_cut, (near, far), link.door))

    def split(self, here: set[str], there: set[str]) -> None:
        """Cut every link between the two sides, both ways."""
        for near in sorted(here):
            for far in sorted(there):
                self.sever(near, far)
                self.sever(far, near)

    def heal(self) -> None:
        """Nothing is cut any more."""
        self.cut.clear()

    def connected(self) -> Iterator[Direction]:
        """The directions in which letters can leave."""
        return (direction for direction, link in self._links.items() if link.met is not None)

    def _dial_after(self, direction: Direction, delay_ns: int) -> None:
        link, door = self._links[direction], self._doors.get(direction[0])
        if door is not None and link.dialling is not door:
            link.dialling = door
            self._timeline.after(delay_ns, partial(self._dial, direction, door))

    def _dial(self, direction: Direction, own: Door) -> None:
        near, far = direction
        link = self._links[direction]
        if link.dialling is not own or self._doors.get(near) is not own:
            return
        link.dialling = None
        door = self._doors.get(far)
        reachable = direction not in self.cut and not {near, far} & self._asleep
        if link.met is None and door is not None and reachable:
            link.met, link.door = door.greeting(), door
            link.refusal_owed = None
            link.last_arrival_ns = 0
            own.hear(PeerMet(link.met))
        elif link.met is None:
            if door is None and link.refusal_owed is not None:
                own.hear(PeerLost(far, link.refusal_owed.node, refused=True))
                link.refusal_owed = None
            self._dial_after(direction, self._random.randint(100, 500) * MILLISECOND)

    def _notice_cut(self, direction: Direction, door: Door | None) -> None:
        if direction in self.cut:
            self._lose(direction, door)

    def _lose(self, direction: Direction, door: Door | None) -> None:
        near, far = direction
        link, own = self._links[direction], self._doors.get(near)
        if link.met is None or link.door is not door or own is None:
            return
        met, link.met, link.door = link.met, None, None
        refused = far not in self._doors and self._random.random() < 0.5
        own.hear(PeerLost(far, met.node, refused))
        link.refusal_owed = None if refused else met
        self._dial_after(direction, self._random.randint(10, 500) * MILLISECOND)

    # Letters --------------------------------------------------------------------------------------------------------

    def send(self, sender: str, letter: Letter) -> None:
        """Let a letter leave; without a connection to its addressee it is lost."""
        content = encode_letter(letter)
        self.overheard(sender, letter, content)
        if self.loses(letter):
            return
        for (near, far), link in self._links.items():
            if near == sender and link.met is not None and link.met.node == letter.to:
                self._post((near, far), link, content, isinstance(letter, Message))

    def _post(self, direction: Direction, link: Link, content: bytes, may_double: bool) -> None:
        weather, random = self.weather, self._random
        if direction in self.cut:
            self.harm["letters cut off"] += 1
            return
        if random.random() < weather.lost:
            self.harm["letters lost"] += 1
            return
        copies = 2 if may_double and random.random() < weather.doubled else 1
        self.harm["letters doubled"] += copies - 1
        for _ in range(copies):
            arrival_ns = self._timeline.now_ns + random.randint(*weather.latency_ns)
            if random.random() < weather.late:
                arrival_ns += random.randint(0, weather.late_ns)
                self.harm["letters late"] += 1
            if not weather.in_order:
                self.harm["letters that may overtake"] += 1
            else:
                link.last_arrival_ns = arrival_ns = max(arrival_ns, link.last_arrival_ns)
            delay_ns = arrival_ns - self._timeline.now_ns
            self._timeline.after(delay_ns, partial(self._arrive, direction, link.door, content))

    def _arrive(self, direction: Direction, door: Door | None, content: bytes) -> None:
        if door is not None and self._doors.get(direction[1]) is door and direction not in self.cut:
            letter = decode_letter(content)
            assert not malformed(letter), f"a node sends what the others refuse: {letter}"
            door.hear(Received(letter))
