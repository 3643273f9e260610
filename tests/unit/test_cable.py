"""The cable of the tests: what hangs on it notices every break, and works again after it."""

from __future__ import annotations

import socket
import threading

import pytest
from tests.support.cable import cable


def _echo(listener: socket.socket) -> None:
    while True:
        try:
            end, _ = listener.accept()
        except OSError:
            return
        with end:
            end.sendall(end.recv(100))


def _ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as end:
        end.sendall(b"hello")
        return end.recv(100)


def test_a_cable_is_severed_and_mended_and_a_severed_one_can_be_put_away() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_echo, args=(listener,), daemon=True).start()
    with cable(listener.getsockname()) as line:
        assert _ask(line.port) == b"hello"
        line.sever()
        with pytest.raises(ConnectionRefusedError):
            _ask(line.port)
        line.mend()
        assert _ask(line.port) == b"hello"
        line.sever()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
