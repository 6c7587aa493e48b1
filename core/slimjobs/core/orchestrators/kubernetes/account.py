"""A pod's service account, and one request to the API server in its name."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from slimjobs.core.orchestrators.kubernetes.lean import LeanClient, lean_client

MAX_BYTES: Final = 1 << 20
"""An object is at most this long (etcd takes no more than 1.5 MiB, and those we read are a hundredth of that)."""


class NoAnswer(Exception):
    """The API server was not reached, in words for people. Asking again may help."""


class Answer(NamedTuple):
    """A status and at most `MAX_BYTES` of a body."""

    status: int
    body: bytes


class Account(msgspec.Struct, frozen=True):
    """Whom the API server is asked as: `token` and `ca.crt` are files in a directory, its address two variables.

    (Kubernetes, "Accessing the Kubernetes API from a Pod".)
    """

    directory: Path
    environment: Mapping[str, str]

    def get(self, path: str, timeout_seconds: float) -> Answer:
        """What it answers. Blocks; the time is that of each wait, so a thread that calls this may take longer.

        The files are read each time, as the kubelet renews them. Raises `NoAnswer`.
        """
        client = lean_client()
        try:
            return self._get(client, path, timeout_seconds)
        except client.failures as error:
            raise NoAnswer(" ".join(str(error).split()) or type(error).__name__) from error

    def _get(self, client: LeanClient, path: str, timeout_seconds: float) -> Answer:
        configuration = client.configuration()
        configuration.retries = False  # whoever asks knows better when to ask again
        token, authority = str(self.directory / "token"), str(self.directory / "ca.crt")
        client.account(token, authority, environ=self.environment).load_and_set(configuration)
        bearer = (configuration.get_api_key_with_prefix("BearerToken") or "").strip()
        if not (bearer.isascii() and bearer.isprintable()):
            raise NoAnswer("the file of the token does not hold one line of text")  # an error of HTTP would show it
        headers = {"Authorization": bearer, "Accept": "application/json"}
        with closing(client.connections(configuration)) as connections:
            url = configuration.host + path
            response = connections.request("GET", url, headers, _request_timeout=timeout_seconds).response
            with closing(response):
                return Answer(response.status, response.read(MAX_BYTES))
