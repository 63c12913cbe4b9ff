"""Who watches goes on with another supervisor, but not for ever with ones that end at once."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from raydp_wrap.client.access import Watching
from raydp_wrap.errors import SupervisorError
from raydp_wrap.supervisor.bell import NAME, Bell, address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def ending_at_once(home: Path, lives: list[int]) -> Iterator[None]:
    """A supervisor that answers, is told what to watch, and hangs up."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    lives.append(1)
                    connection.sendall(b"raydp-wrap 1.2.3 1\n")
                    connection.recv(100)
                    connection.sendall(b".")

    with socket.socket(socket.AF_UNIX) as listener:
        with address(home) as path:
            listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    (home / NAME).unlink()


@pytest.mark.requirement("jobs-2.1-on-demand")
def test_a_supervisor_that_keeps_ending_is_told_of(tmp_path: Path) -> None:
    lives: list[int] = []
    with (
        ending_at_once(tmp_path, lives),
        Watching(lambda: Bell.connect(tmp_path), ["a"], "see its log") as watching,
    ):
        number = watching.fileno()
        with pytest.raises(SupervisorError, match="keeps ending: see its log"):
            wait_for_ever(watching)
        assert watching.fileno() == number
    assert 3 < len(lives) < 20


def wait_for_ever(watching: Watching) -> None:
    while True:
        assert watching.wait(20)  # each may have changed something before it ended
