"""What this kernel and sandbox permit, and so what is in force."""

from __future__ import annotations

from dataclasses import dataclass

from raydp_wrap.process import _core, cgroup

__all__ = ["Capabilities", "probe"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """``method`` is how children are started and awaited; ``cgroup`` and ``oom_counter`` are paths, or None.

    ``vfork`` is false where it is emulated by fork (qemu's user mode): starts are then reported by a pipe.
    """

    method: str
    clone_pidfd: bool
    pidfd_open: bool
    vfork: bool
    close_range: bool
    cgroup: str | None
    oom_counter: str | None


def probe() -> Capabilities:
    """Try it out (once per process)."""
    caps = _core.capabilities()
    parent, counter = cgroup.locate()
    return Capabilities(
        method=_core.METHODS[caps.method],
        clone_pidfd=bool(caps.clone_pidfd),
        pidfd_open=bool(caps.pidfd_open),
        vfork=bool(caps.vfork),
        close_range=bool(caps.close_range),
        cgroup=parent,
        oom_counter=counter,
    )
