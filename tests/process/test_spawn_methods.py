"""The three methods, each in force for real where the sandbox leaves nothing better."""

from __future__ import annotations

import json
from errno import EINVAL, ENOSYS, EPERM
from typing import TYPE_CHECKING

import pytest
from programs.compiled import HERE, SHARED, compiled, tiny
from programs.facts import sandboxed

from raydp_wrap.process import _core

if TYPE_CHECKING:
    from collections.abc import Mapping

PIDFD = 0x1000
Rules = list[tuple[str, int, int]]

SANDBOXES: dict[str, tuple[Rules, str, Mapping[str, int]]] = {
    "nothing denied": ([], "clone-pidfd", {"clone_pidfd": 1, "pidfd_open": 1, "close_range": 1}),
    "no clone3, as under Docker": ([("clone3", ENOSYS, 0)], "clone-pidfd", {"clone_pidfd": 1}),
    "no close_range": ([("close_range", ENOSYS, 0)], "clone-pidfd", {"close_range": 0}),
    "close_range forbidden": ([("close_range", EPERM, 0)], "clone-pidfd", {"close_range": 0}),
    "close_range without CLOEXEC": ([("close_range", EINVAL, 0)], "clone-pidfd", {"close_range": 0}),
    "no CLONE_PIDFD": ([("clone", EINVAL, PIDFD)], "pidfd-open", {"clone_pidfd": 0, "pidfd_open": 1}),
    "CLONE_PIDFD forbidden": ([("clone", EPERM, PIDFD)], "pidfd-open", {"clone_pidfd": 0, "pidfd_open": 1}),
    "no pidfds": (
        [("clone", EINVAL, PIDFD), ("pidfd_open", ENOSYS, 0)],
        "waitid-thread",
        {"clone_pidfd": 0, "pidfd_open": 0},
    ),
    "pidfds forbidden": (
        [("clone", EPERM, PIDFD), ("pidfd_open", EPERM, 0), ("clone3", ENOSYS, 0), ("close_range", EPERM, 0)],
        "waitid-thread",
        {"clone_pidfd": 0, "pidfd_open": 0, "close_range": 0},
    ),
    "no pidfd_send_signal": ([("pidfd_send_signal", ENOSYS, 0)], "clone-pidfd", {}),
    "pidfd_send_signal forbidden": ([("pidfd_send_signal", EPERM, 0)], "clone-pidfd", {}),
    "no epoll_pwait2": ([("epoll_pwait2", ENOSYS, 0)], "clone-pidfd", {}),
}
WELL = {
    "code": 7,
    "waiters": [-15, -15, -15],
    "stopped": [15, "SIGNAL"],
    "failed": ["exec", 2],
    "many": True,
    "zombie": False,
    "sigchld": True,
}


def in_sandbox(rules: Rules, env: Mapping[str, str] | None = None) -> dict[str, object]:
    said: dict[str, object] = json.loads(sandboxed(rules, str(HERE / "methods.py"), tiny(), env=env))
    return said


@pytest.mark.requirement("core-1.1", "core-1.3", "core-1.4", "fault-29")
@pytest.mark.parametrize("name", SANDBOXES)
def test_everything_works_in_every_sandbox(name: str) -> None:
    rules, method, probed = SANDBOXES[name]
    said = in_sandbox(rules)
    assert said["method"] == said["probe"] == method
    assert {key: said[key] for key in probed} == probed
    assert {key: said[key] for key in WELL} == WELL
    # 3 is ls's own, for the directory it lists.
    assert said["fds"] == [0, 1, 2, 3]


@pytest.mark.requirement("core-1.1", "core-1.2")
@pytest.mark.parametrize("name", ["nothing denied", "no CLONE_PIDFD", "no pidfds"])
def test_where_vfork_is_emulated_by_fork(name: str) -> None:
    """Memory is not shared there: the failed step comes through a pipe."""
    said = in_sandbox(SANDBOXES[name][0], {"LD_PRELOAD": compiled("fork_clone", *SHARED, "-ldl")})
    assert said["vfork"] == 0
    assert {key: said[key] for key in WELL} == WELL
    assert said["fds"] == [0, 1, 2, 3]


@pytest.mark.requirement("core-1.1")
def test_the_probe_names_what_is_in_force_here() -> None:
    caps = _core.capabilities()
    assert caps.vfork
    assert _core.METHODS[caps.method] in ("clone-pidfd", "pidfd-open", "waitid-thread")
