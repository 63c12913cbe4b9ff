"""The controlling terminal: what is taken back, and what is left alone. The rest is in cli/test_run_terminal.py."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import sys
import termios
import traceback
from typing import TYPE_CHECKING

import pytest

from raydp_wrap.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.requirement("run-3.2")


def on_a_terminal(what: Callable[[], None]) -> None:
    """Run WHAT in a child that leads a session on a terminal of its own."""
    pid, master = pty.fork()
    if not pid:
        try:
            what()
        except BaseException:  # noqa: BLE001 - it ends here, in words
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    said = b""
    try:
        while data := os.read(master, 4096):
            said += data
    except OSError:  # its end of the terminal is closed
        pass
    os.close(master)
    assert os.waitpid(pid, 0)[1] == 0, said.decode()


def other_group(*, alive: bool) -> int:
    """Put the terminal into the hands of another group, which then is gone or not."""
    release, hold = os.pipe()
    child = os.fork()
    if not child:
        os.close(hold)
        os.setpgid(0, 0)
        os.read(release, 1)
        os._exit(0)
    os.close(release)
    with contextlib.suppress(PermissionError):
        os.setpgid(child, child)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(0, child)
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    if not alive:
        os.close(hold)
        os.waitpid(child, 0)
    return child


def test_without_a_terminal_there_is_none() -> None:
    pid = os.fork()
    if not pid:
        os.setsid()
        terminal = Terminal()
        terminal.restore(modes=True)
        os._exit(0 if not terminal.exists else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_group_that_is_gone_loses_it() -> None:
    def what() -> None:
        terminal = Terminal()
        assert terminal.exists
        other_group(alive=False)
        terminal.restore()
        assert os.tcgetpgrp(0) == os.getpgrp()
        assert not terminal.exists
        terminal.restore()

    on_a_terminal(what)


def test_a_group_that_lives_keeps_it() -> None:
    def what() -> None:
        terminal = Terminal()
        child = other_group(alive=True)
        terminal.restore(modes=True)
        assert os.tcgetpgrp(0) == child
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    on_a_terminal(what)


def test_modes_are_put_right_only_when_asked() -> None:
    def what() -> None:
        before = termios.tcgetattr(0)
        for modes in (False, True):
            terminal = Terminal()
            changed = termios.tcgetattr(0)
            changed[3] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(0, termios.TCSANOW, changed)
            terminal.restore(modes=modes)
            assert termios.tcgetattr(0)[:4] == (before if modes else changed)[:4]
            termios.tcsetattr(0, termios.TCSANOW, before)

    on_a_terminal(what)
