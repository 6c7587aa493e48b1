"""Ports, and what a control plane's parts are told: nothing here starts any of them."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.cluster.control_plane import IMAGES, Place, commands
from tests.cluster.parts import free_ports

PLACE = Place(Path("/place"), 6443, 2379, 2380, 2, IMAGES)


def test_a_port_on_which_somebody_listens_is_not_free() -> None:
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        assert port not in free_ports(12_000)


def test_ports_that_are_asked_for_at_once_differ() -> None:
    assert len(set(free_ports(6))) == 6


def test_the_parts_are_started_in_the_order_in_which_they_need_each_other() -> None:
    parts = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "node-0", "node-1"]
    assert list(commands(PLACE)) == parts
