"""A real terminal, and interactive programs under ``raydp-wrap run``: Spark's shell, and an application by itself."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
PATIENCE = 120.0
LEFT, CTRL_C, CTRL_D = "\x1b[D", "\x03", "\x04"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not (BIN / "pyspark").exists(), reason="needs pyspark in this environment"),
]


class Screen:
    """A terminal with COMMAND in it: what is typed, and what has appeared."""

    def __init__(self, command, env):
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.process = subprocess.Popen(
            command,
            env=env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads
        )
        os.close(slave)
        self.seen = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern):
        """Until PATTERN has appeared since the last time; the match."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.seen)):
            assert select.select([self.master], [], [], deadline - time.monotonic())[0], self.seen[-3000:]
            self._read()
        self.seen = self.seen[found.end() :]
        return found

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def ended(self):
        while select.select([self.master], [], [], PATIENCE)[0] and self._read():
            pass
        return self.process.wait(PATIENCE)

    def _read(self):
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:  # everybody has left the terminal
            assert self.process.wait(PATIENCE) is not None
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def screen(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    env = {
        **kept,
        "PATH": f"{BIN}:{kept['PATH']}",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "RAYDP_WRAP_HOME": str(tmp_path / "home"),
        "HOME": str(tmp_path),
        "TERM": "xterm",
    }
    screens = []

    def make(*command):
        screens.append(Screen([BIN / "raydp-wrap", "run", "--", *command], env))
        return screens[-1]

    yield make
    for one in screens:
        one.close()


@pytest.mark.requirement("drop-in-6")
def test_sparks_shell_is_a_shell(screen):
    shell = screen("pyspark", "--master", "local[1]", "--conf", "spark.ui.enabled=false")
    shell.expect(r">>> ")
    shell.type("import os; print([os.isatty(fd) for fd in range(3)], os.get_terminal_size())\n")
    shell.expect(re.escape("[True, True, True] os.terminal_size(columns=100, lines=24)"))
    shell.resize(30, 90)
    shell.type("os.get_terminal_size()\n")
    shell.expect(re.escape("os.terminal_size(columns=90, lines=30)"))
    shell.type(f"print(7 * 123){LEFT}{LEFT}{LEFT}{LEFT}100 +\n")  # typed in the middle: 7 * 100 + 123
    shell.expect(r"\b823\b")
    shell.type("print(spark.range(1000).count())\n")
    shell.expect(r"\b1000\b")
    shell.type("import time; print('a' + 'sleep'); time.sleep(600)\n")
    shell.expect("asleep")
    shell.type(CTRL_C)
    shell.expect("KeyboardInterrupt")
    shell.type("print('still ' + 'here')\n")
    shell.expect("still here")
    shell.type(CTRL_D)
    assert shell.ended() == 0


@pytest.mark.requirement("drop-in-6")
def test_an_application_by_itself_has_the_terminal(screen, tmp_path):
    (tmp_path / "app.py").write_text(
        "import os, time\n"
        "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.master('local[1]').config('spark.ui.enabled', 'false').getOrCreate()\n"
        "print(spark.range(10).count(), input('name? '), [os.isatty(fd) for fd in range(3)])\n"
        "time.sleep(600)\n"
    )
    app = screen(sys.executable, tmp_path / "app.py")
    app.expect(r"name\? ")
    app.type("me\n")
    app.expect(re.escape("10 me [True, True, True]"))
    app.type(CTRL_C)
    assert app.ended() in (128 + signal.SIGINT, -signal.SIGINT)
    assert "KeyboardInterrupt" in app.seen
