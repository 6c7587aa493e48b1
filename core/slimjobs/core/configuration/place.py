"""Where a node starts: the few facts about its machine that defaults of settings depend on."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

# Where the kubelet puts a pod's service account (Kubernetes, "Accessing the Kubernetes API from a Pod").
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Place(msgspec.Struct, frozen=True):
    """The facts. `namespace` is the service account's, None outside a pod."""

    host_name: str
    in_pod: bool = False
    kubeconfig_given: bool = False
    namespace: str | None = None
    on_terminal: bool = False


def find_place(environment: Mapping[str, str], service_account: Path = SERVICE_ACCOUNT) -> Place:
    """Look around: this machine's name, the pod's service account, and whether stderr is a terminal.

    A kubeconfig counts as given only by the variable KUBECONFIG: one that merely lies in the home directory may lead to
    a cluster that nobody meant.
    """
    namespace = _first_line(service_account / "namespace")
    return Place(
        host_name=socket.gethostname() or "localhost",
        in_pod="KUBERNETES_SERVICE_HOST" in environment and os.path.exists(service_account / "token"),
        kubeconfig_given=bool(environment.get("KUBECONFIG")),
        namespace=namespace,
        on_terminal=sys.stderr.isatty(),
    )


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
