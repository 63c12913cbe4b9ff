"""Processes of others that have just the pids that ours had."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from jobs.real_home import until
from programs.compiled import STATIC, compiled
from programs.facts import alive, state

if TYPE_CHECKING:
    from jobs.real_home import RealHome

__all__ = ["Strangers", "lose"]


class Strangers:
    """Processes of others that have the pids they were asked to have."""

    def __init__(self) -> None:
        self.helpers: dict[int, subprocess.Popen[bytes]] = {}

    def take(self, pid: int) -> None:
        until(lambda: not os.path.exists(f"/proc/{pid}"), lambda: f"{pid} is still there: {state(pid)}")
        helper = subprocess.Popen([compiled("reuse", *STATIC), str(pid), "stranger"], stdout=subprocess.PIPE)
        self.helpers[pid] = helper
        assert helper.stdout is not None
        if helper.stdout.read(1) != b"!":
            self.helpers.pop(pid)
            helper.stdout.close()
            assert helper.wait() == 77
            pytest.skip("NOT TESTED: a pid can't be chosen here (clone3's set_tid)")

    def all_live(self) -> bool:
        return all(alive(pid) for pid in self.helpers)

    def close(self) -> None:
        for pid, helper in self.helpers.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            assert helper.stdout is not None
            helper.stdout.close()
            helper.wait()


def lose(home: RealHome, name: str) -> tuple[int, int]:
    """Kill guard and driver, which nobody supervises; their pids."""
    guard, driver = home.pids(name)
    os.kill(guard, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # it may have died with its guard already
        os.kill(driver, signal.SIGKILL)
    return guard, driver
