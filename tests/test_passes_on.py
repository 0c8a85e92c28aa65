"""Whether a balancer works, asked above TCP: by stand-ins for one that answers, one that closes, one that is frozen, none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

from runtime import cluster


def letter(connection: socket.socket) -> None:
    assert connection.recv(8) == cluster.SSL_REQUEST
    connection.sendall(b"N")


def closes(connection: socket.socket) -> None:
    connection.close()


@pytest.mark.parametrize(("act", "works"), [(letter, True), (closes, True), (None, False)])
def test_it_passes_on_or_closes(
    act: Callable[[socket.socket], None] | None, works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "HTTP_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:  # the kernel takes the connection, whoever sleeps behind it

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                assert act is not None
                act(connection)

        if act is not None:
            threading.Thread(target=serve, daemon=True).start()
        assert cluster.passes_on("127.0.0.1", server.getsockname()[1]) == works


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert not cluster.passes_on("127.0.0.1", port)
