"""One control plane for all that only use it; what breaks it for good has its own."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

from tests.cluster.control_plane import ControlPlane, control_plane
from tests.cluster.tls_sockets import ClosedOnReset


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with one node; every test leaves it as it was."""
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def _resets_leave_nothing_open() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "sslsocket_class", ClosedOnReset)
        yield
