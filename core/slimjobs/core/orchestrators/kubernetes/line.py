"""Connections to the API server, and the credentials that are shown there. Everything here blocks: it is for threads.

Credentials are loaded anew when they were refused, and when a connection failed: tokens expire, and authorities are
exchanged.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from slimjobs.core.orchestrators.kubernetes.access import Access, AccessUnusable, bearer_of, in_words
from slimjobs.core.orchestrators.kubernetes.lean import lean_client

if TYPE_CHECKING:
    from kubernetes.client.configuration import Configuration
    from urllib3 import BaseHTTPResponse, PoolManager

CONNECT_SECONDS: Final = 5.0
LOAD_SECONDS: Final = 10.0
"""How long to wait for credentials that another thread loads: a plugin that a kubeconfig names may hang."""

_UNAUTHORIZED: Final = 401


class NoAnswer(Exception):
    """The API server was not reached, or gave no whole answer, in words for people. Asking again may help."""


class Request(NamedTuple):
    """What is asked: `body` is JSON as it is sent. `silence_seconds`: how long nothing may come."""

    method: str
    path: str
    body: bytes | None
    content_type: str
    silence_seconds: float


class _Loaded(NamedTuple):
    configuration: Configuration
    connections: PoolManager


class Line:
    """Connections that are kept, as many as there are threads that use them."""

    def __init__(self, access: Access, connections: int) -> None:
        self._access = access
        self._most = connections
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def send(self, request: Request) -> BaseHTTPResponse:
        """Send a request and give its answer, whose body is not read yet. Raises `NoAnswer`."""
        loaded = self._load()
        try:
            response = self._send(loaded, request)
            if response.status == _UNAUTHORIZED:
                response.drain_conn()
                response = self._send(self._load(instead_of=loaded), request)
        except lean_client().failures as error:
            self._forget(loaded)
            raise NoAnswer(in_words(error)) from error
        return response

    def close(self) -> None:
        """Close what nobody uses any more; what somebody uses is closed when it is given back."""
        with self._lock:
            if self._loaded is not None:
                _close(self._loaded.connections)
                self._loaded = None

    def _send(self, loaded: _Loaded, request: Request) -> BaseHTTPResponse:
        import urllib3

        headers = {"Accept": "application/json"}
        if bearer := _bearer(loaded.configuration):
            headers["Authorization"] = bearer
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        return loaded.connections.request(
            request.method,
            loaded.configuration.host + request.path,
            body=request.body,
            headers=headers,
            preload_content=False,
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=request.silence_seconds),
        )

    def _load(self, instead_of: _Loaded | None = None) -> _Loaded:
        """The credentials; loaded once more if they are still those that did not do."""
        if not self._lock.acquire(timeout=LOAD_SECONDS):
            raise NoAnswer(f"the credentials are still being loaded after {LOAD_SECONDS:g} s")
        try:
            if self._loaded is None or self._loaded is instead_of:
                before, self._loaded = self._loaded, self._connect()
                if before is not None:
                    _close(before.connections)
            return self._loaded
        finally:
            self._lock.release()

    def _forget(self, loaded: _Loaded) -> None:
        with self._lock:
            if self._loaded is loaded:
                self._loaded = None
                _close(loaded.connections)

    def _connect(self) -> _Loaded:
        try:
            configuration = self._access.load()
        except AccessUnusable as error:
            raise NoAnswer(str(error)) from error
        configuration.connection_pool_maxsize = self._most
        return _Loaded(configuration, lean_client().connections(configuration).pool_manager)


def _close(connections: PoolManager) -> None:
    for key in connections.pools.keys():  # noqa: SIM118 - the container cannot be iterated, as others may change it
        if (pool := connections.pools.get(key)) is not None:
            pool.close()
    connections.clear()


def _bearer(configuration: Configuration) -> str:
    try:
        return bearer_of(configuration)
    except AccessUnusable as error:
        raise NoAnswer(str(error)) from error
