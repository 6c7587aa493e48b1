"""The Kubernetes API as a test calls it: plain HTTPS with a user's token."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

SECONDS = 15.0
MERGE_PATCH = "application/merge-patch+json"


class Answer(NamedTuple):
    """A status and a body: an object, or text where the API answers with text."""

    status: int
    body: Any


class Api:
    """An API server on this loopback port, as this user; its certificate is the one in the file."""

    def __init__(self, port: int, certificate: Path, user: str) -> None:
        self._port = port
        self._certificate = certificate
        self._headers = {"Authorization": f"Bearer {user}", "Content-Type": "application/json"}

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, given: Mapping[str, object]) -> Answer:
        return self.request("POST", path, given)

    def request(self, method: str, path: str, given: Mapping[str, object] | None = None) -> Answer:
        """What it answers; OSError or HTTPException if it does not. A PATCH is a merge (RFC 7386)."""
        body = None if given is None else json.dumps(given)
        headers = self._headers | ({"Content-Type": MERGE_PATCH} if method == "PATCH" else {})
        with self._connection() as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
        is_object = response.headers.get_content_type() == "application/json"
        return Answer(response.status, json.loads(text) if is_object else text)

    @contextmanager
    def _connection(self) -> Iterator[http.client.HTTPSConnection]:
        trust = ssl.create_default_context(cafile=self._certificate)
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=SECONDS, context=trust)
        try:
            yield connection
        finally:
            connection.close()
