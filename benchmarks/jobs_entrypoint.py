"""The trivial entrypoint that both sides run: it tells when it runs, and when it ends."""

from __future__ import annotations

import os
import random
import select
import struct
import subprocess
from typing import TYPE_CHECKING

from benchmarks.children import HERE, compiler

if TYPE_CHECKING:
    from pathlib import Path

_LIFE_US = (300_000, 600_000)  # long enough for a client that begins to poll once it runs
_DEADLINE = 120.0


class Entrypoint:
    """``program`` is the compiled job of native/job.c; one at a time writes its moments into a named pipe.

    Raises:
        NoCompilerError: there is nothing to compile with.

    """

    def __init__(self, folder: Path) -> None:
        self.program = str(folder.resolve() / "job")
        command = [*compiler(), "-O2", "-static", "-o", self.program, str(HERE / "native" / "job.c")]
        subprocess.run(command, check=True)
        self.pipe = str(folder.resolve() / "moments")
        os.mkfifo(self.pipe)
        self._fd = os.open(self.pipe, os.O_RDWR | os.O_CLOEXEC)

    def argv(self) -> list[str]:
        """Of a job that ends at a random moment."""
        return [self.program, self.pipe, str(random.randint(*_LIFE_US))]

    def moment(self) -> int:
        """When the job that was started last began to run; the next time, when it ended: nanoseconds, CLOCK_MONOTONIC.

        Raises:
            TimeoutError: it doesn't say.

        """
        if not select.select([self._fd], [], [], _DEADLINE)[0]:
            raise TimeoutError(f"a job did not run within {_DEADLINE} s")
        return int(struct.unpack("q", os.read(self._fd, 8))[0])

    def close(self) -> None:
        os.close(self._fd)
