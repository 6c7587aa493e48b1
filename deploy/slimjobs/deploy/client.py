"""A client of a running service, for the command line: plain HTTP of the standard library, errors told to a person."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from slimjobs.deploy.exits import Ended, Exit

DEFAULT_URL: Final = "http://127.0.0.1:5000"
TIMEOUT_SECONDS: Final = 30.0
INDEX: Final = "X-SlimFaas-Index"
_BLOCK_BYTES: Final = 64 * 1024


class Response(msgspec.Struct, frozen=True):
    """An answer of the service that is no refusal. `body` is parsed JSON: only the caller knows its shape."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Unreachable(Ended):
    """Nobody answers at the address."""

    def __init__(self, url: str, cause: Exception) -> None:
        super().__init__(
            Exit.NO, f"no service answers at {url} ({cause}); start one with 'slimjobs serve', or give --url"
        )


class Refused(Ended):
    """The service refused; its problem says why (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        lines = [f"{status} {problem.get('title', '')}: {problem.get('detail', '')}".strip()]
        lines += (f"  {each.get('pointer') or '/'}: {each.get('detail')}" for each in problem.get("errors", ()))
        super().__init__(Exit.USAGE if status == 400 else Exit.NO, *lines)
        self.status = status


class Foreign(Ended):
    """Something answers at the address, but not as this service does."""

    def __init__(self, url: str, status: int) -> None:
        super().__init__(Exit.NO, f"what answers at {url} is not slimjobs (it said {status}); give another --url")


class Client:
    """The service at a URL."""

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self._host, self._port, self._path = _parts(url)
        self._kind = http.client.HTTPSConnection if url.startswith("https") else http.client.HTTPConnection
        self.url = url.rstrip("/")

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """One request, one answer. Raises `Refused` for 400 and above, `Unreachable`, `Foreign`."""
        with self._sent(method, path, body, headers or {}) as answer:
            content = answer.read()
            if answer.headers.get_content_type() != "application/json":
                raise Foreign(self.url, answer.status)
            return Response(answer.status, dict(answer.getheaders()), json.loads(content))

    def stream(self, path: str) -> Iterator[bytes]:
        """The output behind a path, as it comes. Raises `Refused`, `Unreachable`, `Foreign`."""
        with self._sent("GET", path, None, {}, timeout=None) as answer:
            if INDEX not in answer.headers:
                raise Foreign(self.url, answer.status)
            while block := answer.read1(_BLOCK_BYTES):
                yield block

    @contextmanager
    def _sent(
        self, method: str, path: str, body: object, headers: Mapping[str, str], timeout: float | None = TIMEOUT_SECONDS
    ) -> Iterator[http.client.HTTPResponse]:
        connection = self._kind(self._host, self._port, timeout=timeout)
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, self._path + path, content, dict(headers))
            answer = connection.getresponse()
            if answer.status >= 400:
                if answer.headers.get_content_type() != "application/problem+json":
                    raise Foreign(self.url, answer.status)
                raise Refused(answer.status, json.loads(answer.read()))
            yield answer
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(self.url, error) from error
        finally:
            connection.close()


def _parts(url: str) -> tuple[str, int | None, str]:
    """Host, port and path of a URL. Raises `Ended`."""
    try:
        split = urllib.parse.urlsplit(url)
        if split.scheme in ("http", "https") and split.hostname:
            return split.hostname, split.port, split.path.rstrip("/")
    except ValueError:
        pass
    raise Ended(Exit.USAGE, f"--url takes http://HOST:PORT, not '{url}'")


def quoted(part: str) -> str:
    """A part of a path, safe whatever is in it."""
    return urllib.parse.quote(part, safe="")
