"""Where the API server is and as whom it is asked: a pod's service account, or a kubeconfig.

KUBECONFIG is set       the file it names, read by the official client: tokens, certificates, exec plugins
else, in a pod          the files of its service account, which the kubelet renews
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from slimjobs.core.orchestrators.kubernetes.lean import kubeconfig_loader, lean_client

if TYPE_CHECKING:
    from kubernetes.client.configuration import Configuration


class AccessUnusable(Exception):
    """There is no way to an API server, in words for people: what is missing, and where it would be."""


class Access(Protocol):
    """A way to an API server."""

    def load(self) -> Configuration:
        """The address and the credentials as they are now. Blocks. Raises `AccessUnusable`."""


class PodAccess(msgspec.Struct, frozen=True):
    """That of a pod: `token` and `ca.crt` are files in a directory, the address two variables.

    (Kubernetes, "Accessing the Kubernetes API from a Pod".)
    """

    directory: Path
    environment: Mapping[str, str]

    def load(self) -> Configuration:
        """See the protocol."""
        client = lean_client()
        configuration = client.configuration()
        token, authority = str(self.directory / "token"), str(self.directory / "ca.crt")
        try:
            client.account(token, authority, environ=self.environment).load_and_set(configuration)
        except client.failures as error:
            raise AccessUnusable(
                f"the service account in {self.directory} cannot be used: {in_words(error)}"
            ) from error
        return configuration


class KubeconfigAccess(msgspec.Struct, frozen=True):
    """That of a kubeconfig, in its current context."""

    path: str

    def load(self) -> Configuration:
        """See the protocol."""
        client = lean_client()
        configuration = client.configuration()
        failures, load = kubeconfig_loader()
        try:
            load(self.path, client_configuration=configuration, persist_config=False)
        except (*client.failures, *failures) as error:
            raise AccessUnusable(f"the kubeconfig {self.path} cannot be used: {in_words(error)}") from error
        return configuration


def find_access(environment: Mapping[str, str], service_account: Path) -> Access:
    """The way that this process has: KUBECONFIG wins. Whether it leads anywhere is seen when it is loaded."""
    if kubeconfig := environment.get("KUBECONFIG"):
        return KubeconfigAccess(kubeconfig)
    return PodAccess(service_account, environment)


def bearer_of(configuration: Configuration) -> str:
    """The value of the Authorization header, renewed if need be; empty for who shows a certificate. Blocks.

    Raises `AccessUnusable` for a token that is none: an error of HTTP would show it.
    """
    client = lean_client()
    try:
        bearer = (configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or "").strip()
    except client.failures as error:
        raise AccessUnusable(f"the token cannot be read: {in_words(error)}") from error
    if not (bearer.isascii() and (bearer.isprintable() or not bearer)):
        raise AccessUnusable("the file of the token does not hold one line of text")
    return bearer


def in_words(error: BaseException) -> str:
    """An error as one line."""
    return " ".join(str(error).split()) or type(error).__name__
