"""A node in memory behind the real server on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest
import trio.testing

from slimjobs.http.surface import SurfaceSettings
from tests.http.client import Client, running
from tests.http.memory_service import MemoryService

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def service() -> MemoryService:
    return MemoryService()


@pytest.fixture
async def inside(service: MemoryService) -> AsyncIterator[Client]:
    """A client that counts as internal."""
    async with running(service, SurfaceSettings(trusted_networks=LOOPBACK)) as client:
        yield client


@pytest.fixture
async def outside(service: MemoryService) -> AsyncIterator[Client]:
    """A client that counts as external."""
    async with running(service, SurfaceSettings()) as client:
        yield client


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Time that jumps when nothing happens; a little real time is given to the sockets first."""
    return trio.testing.MockClock(autojump_threshold=0.01)
