"""That connections which are reset leave nothing for the garbage collector."""

from __future__ import annotations

import socket
import ssl
import struct

import pytest

from tests.cluster.tls_sockets import ClosedOnReset

AT_ONCE = struct.pack("ii", 1, 0)


def test_a_connection_that_was_reset_is_closed() -> None:
    context = ssl.create_default_context()
    context.sslsocket_class = ClosedOnReset
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        accepted.close()
        with pytest.raises(ConnectionResetError):
            context.wrap_socket(client, server_hostname="localhost")
