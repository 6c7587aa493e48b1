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


class Client:
    """The service at a URL."""

    def __init__(self, url: str = DEFAULT_URL) -> None:
        split = urllib.parse.urlsplit(url)
        if split.scheme not in ("http", "https") or not split.hostname:
            raise Ended(Exit.USAGE, f"--url takes http://HOST:PORT, not '{url}'")
        self.url = url.rstrip("/")
        self._split = split

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """One request, one answer. Raises `Refused` for 400 and above, `Unreachable`."""
        with self._sent(method, path, body, headers or {}) as answer:
            content = answer.read()
            return Response(answer.status, dict(answer.getheaders()), json.loads(content) if content else None)

    def stream(self, path: str) -> Iterator[bytes]:
        """The body of a GET as it comes. Raises `Refused`, `Unreachable`."""
        with self._sent("GET", path, None, {}, timeout=None) as answer:
            while block := answer.read1(_BLOCK_BYTES):
                yield block

    @contextmanager
    def _sent(
        self, method: str, path: str, body: object, headers: Mapping[str, str], timeout: float | None = TIMEOUT_SECONDS
    ) -> Iterator[http.client.HTTPResponse]:
        secure = self._split.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(self._split.hostname or "", self._split.port, timeout=timeout)
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, self._split.path.rstrip("/") + path, content, dict(headers))
            answer = connection.getresponse()
            if answer.status >= 400:
                raise Refused(answer.status, _problem(answer.read()))
            yield answer
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(self.url, error) from error
        finally:
            connection.close()


def _problem(content: bytes) -> Mapping[str, Any]:
    try:
        problem = json.loads(content)
    except ValueError:
        problem = None
    return problem if isinstance(problem, dict) else {"detail": content.decode(errors="replace")[:500]}


def quoted(part: str) -> str:
    """A part of a path, safe whatever is in it."""
    return urllib.parse.quote(part, safe="")
