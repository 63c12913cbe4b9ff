"""A worker begins to listen at a random moment: how long until its client is connected."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from benchmarks.detection import RAY_POLL as FILE_POLL
from benchmarks.stamps import Stamps, random_life
from raydp_wrap._native import lib
from raydp_wrap.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.children import Binaries
    from benchmarks.methods import Measure


def _poll(path: str, _: Process) -> int:
    while True:
        while not os.path.exists(path):
            time.sleep(FILE_POLL)
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(path)
        except OSError:
            client.close()
            time.sleep(FILE_POLL)
        else:
            return client.detach()


def measures(binaries: Binaries, folder: Path) -> dict[str, Measure | str]:
    """Name → measure, or why there is none."""
    worker = binaries.child("listen")
    path = str(folder / f"{os.getpid()}.sock")
    stamps = Stamps()
    watch: list[int] = []

    def ours(path: str, process: Process) -> int:
        fd = lib.rd_uds_wait(watch[0], os.fsencode(path), process.fileno(), 10_000_000_000)
        if fd < 0:
            raise OSError(-fd, os.strerror(-fd))
        return int(fd)

    def ready(connect: Callable[[str, Process], int]) -> Measure:
        def measure() -> float:
            if not watch:
                watch.append(lib.rd_watch_dir(os.fsencode(folder)))
            with Process([worker, random_life(), path], stdout=stamps.write) as process:
                try:
                    fd = connect(path, process)
                    known = time.monotonic_ns()
                    os.close(fd)
                finally:
                    process.kill()
            os.unlink(path)
            return known - stamps.next()

        return measure

    return {"ready-core": ready(ours), "ready-poll": ready(_poll)}
