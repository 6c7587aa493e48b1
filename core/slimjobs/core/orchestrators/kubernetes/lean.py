"""The official client without its models: they are a thousand classes, and we read the few objects we touch ourselves.

What a package's `__init__` imports is what costs. Here the packages stand in `sys.modules` without having been
executed, so that importing one of their modules finds the package there and runs that module alone.

Measured in a node: 0.9 MiB and no model, where importing the same names the usual way costs 16. A node that has asked
once keeps 3.0 MiB, most of it the TLS of Python.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from kubernetes.client.configuration import Configuration
    from kubernetes.client.rest import RESTClientObject
    from kubernetes.config.incluster_config import InClusterConfigLoader

# `kubernetes.client` may run: it imports what it is asked for and no more.
NEVER_RUN: Final = ("kubernetes", "kubernetes.config", "kubernetes.utils")


class LeanClient(NamedTuple):
    """The client's settings, its connections, what reads a pod's service account, and whatever these raise."""

    configuration: type[Configuration]
    connections: type[RESTClientObject]
    account: type[InClusterConfigLoader]
    failures: tuple[type[Exception], ...]


def lean_client() -> LeanClient:
    """These parts, imported when they are first asked for: a node that needs no API server does not carry them."""
    for name in NEVER_RUN:
        if name not in sys.modules:
            spec = find_spec(name)
            assert spec is not None, name
            sys.modules[name] = module_from_spec(spec)
    from kubernetes.client.configuration import Configuration
    from kubernetes.client.exceptions import ApiException
    from kubernetes.client.rest import RESTClientObject
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.config.incluster_config import InClusterConfigLoader
    from urllib3.exceptions import HTTPError

    # Files that cannot be read are OSErrors; a token or an address that makes no request is a ValueError.
    failures = (ApiException, ConfigException, HTTPError, OSError, ValueError)
    return LeanClient(Configuration, RESTClientObject, InClusterConfigLoader, failures)


def kubeconfig_loader() -> tuple[tuple[type[Exception], ...], Callable[..., None]]:
    """What reads a kubeconfig, and what it raises besides. Only who has one imports it: it brings OAuth, and 14 MiB."""
    lean_client()
    from kubernetes.config.kube_config import load_kube_config
    from yaml import YAMLError

    return (YAMLError, KeyError, TypeError, AttributeError), load_kube_config
