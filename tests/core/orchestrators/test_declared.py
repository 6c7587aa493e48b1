"""What a node declares to its runner: who waits hears of another declaration, and of no other that is the same."""

from __future__ import annotations

from slimjobs.core.configuration.services import Service
from slimjobs.core.orchestrators.declared import Declaration


async def test_who_waits_is_told_when_something_else_is_declared() -> None:
    declaration = Declaration({"web": Service(("web",), 8081)})
    with declaration.until_changed() as first:
        declaration.change({"web": Service(("web",), 8081)})
        assert not first.cancel_called
        declaration.change({"web": Service(("web",), 8082)})
        assert first.cancel_called
    with declaration.until_changed() as second:
        assert declaration.services == {"web": Service(("web",), 8082)}
        assert not second.cancel_called
