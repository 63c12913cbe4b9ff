"""Where this process stands in the cgroup trees: a parent for the job's cgroup, and OOM counters."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import time

_KILL_MIN_KERNEL_FILE = "cgroup.kill"  # Linux 5.14


def _memberships() -> dict[str, str]:
    """Controller list ("" for v2) → path, from /proc/self/cgroup."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        return {controllers: path for _, controllers, path in (line.rstrip("\n").split(":", 2) for line in file)}


def _mounts() -> list[tuple[str, str, str, str]]:
    """(root, mount point, type, super options) of every cgroup mount."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            kind, _, options = after.split(" ", 2)
            if kind in ("cgroup", "cgroup2"):
                fields = before.split()
                found.append((fields[3], fields[4].replace("\\040", " "), kind, options.strip()))
    return found


def _locate(path: str, root: str, mount: str) -> str:
    relative = os.path.relpath(path, root)
    return mount if relative == "." else os.path.join(mount, relative)


def locate() -> tuple[str | None, str | None]:
    """(own cgroup v2 directory that can hold a job's cgroup, own OOM counter file); None where there is none.

    Looked up once: a process that is moved to another cgroup later keeps the first answer.
    """
    try:
        return _look()
    except (OSError, ValueError):  # not kept: it may be a moment without descriptors
        return None, None


@functools.cache
def _look() -> tuple[str | None, str | None]:
    parent = counter = None
    member = _memberships()
    for root, mount, kind, options in _mounts():
        if kind == "cgroup2" and "" in member:
            own = _locate(member[""], root, mount)
            writable = os.access(own, os.W_OK) and os.access(os.path.join(own, "cgroup.procs"), os.W_OK)
            # The root cgroup has no cgroup.kill of its own, its children do: ask the kernel's version.
            if writable and _kill_is_known():
                parent = own
            events = os.path.join(own, "memory.events")
            if os.access(events, os.R_OK):
                counter = events
        elif kind == "cgroup" and "memory" in options.split(","):
            path = next((p for names, p in member.items() if "memory" in names.split(",")), None)
            if path is not None:
                control = os.path.join(_locate(path, root, mount), "memory.oom_control")
                if counter is None and os.access(control, os.R_OK):
                    counter = control
    return parent, counter


def _kill_is_known() -> bool:
    release = os.uname().release.split(".")
    return (int(release[0]), int("".join(c for c in release[1] if c.isdigit()) or 0)) >= (5, 14)


def end(parent: str, name: str, timeout: float = 5.0) -> bool:
    """Kill everything in cgroup NAME below PARENT and remove it; whether it is gone."""
    path = os.path.join(parent, name)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    deadline = time.monotonic() + timeout
    try:
        kill = os.open(_KILL_MIN_KERNEL_FILE, os.O_WRONLY | os.O_CLOEXEC, dir_fd=fd)
        with contextlib.closing(os.fdopen(kill, "wb", buffering=0)) as file:
            file.write(b"1")
        events = os.open("cgroup.events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=fd)
        with contextlib.closing(os.fdopen(events, "rb", buffering=0)):
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            while b"populated 0" not in os.pread(events, 256, 0):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                poll.poll(left * 1000)
        for inner, _, _ in os.walk(path, topdown=False):  # those of guards that ran in this job, too
            os.rmdir(inner)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
