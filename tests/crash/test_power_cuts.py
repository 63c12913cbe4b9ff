"""Power cuts: a record that was acknowledged is there and whole afterwards; any other is absent or whole.

A real ext4 on a loop device is shut down as by a cut (what its journal has not flushed is lost), mounted again,
and read.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import random
import re
import shutil
import struct
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest
from crash.harness import need, need_root, strays
from crash.traced import traced_guard, whole

from raydp_wrap.errors import RecordError
from raydp_wrap.model import Cause, Launch
from raydp_wrap.process import Guard
from raydp_wrap.process import record as records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("strays")
__all__ = ["strays"]

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


class Disk:
    """An ext4 of its own, whose power can be cut."""

    def __init__(self, folder: Path) -> None:
        image = folder / "image"
        with image.open("wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        found = subprocess.run(["losetup", "-f", "--show", str(image)], check=False, capture_output=True, text=True)
        need(found.returncode == 0, "no loop device can be had")
        self.device = found.stdout.strip()
        self.at = folder / "disk"
        self.at.mkdir()
        self.mounted = False

    def mount(self) -> None:
        if libc.mount(self.device.encode(), str(self.at).encode(), b"ext4", 0, None) < 0:
            raise OSError(ctypes.get_errno(), "mount")
        self.mounted = True

    def unmount(self) -> None:
        deadline = time.monotonic() + 10
        while libc.umount2(str(self.at).encode(), 0) < 0:
            # A guard that has told its end is still closing its directory.
            assert time.monotonic() < deadline, "the disk stays busy"
            time.sleep(0.001)
        self.mounted = False

    def cut(self) -> None:
        fd = os.open(self.at, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def close(self) -> None:
        if self.mounted:
            libc.umount2(str(self.at).encode(), MNT_DETACH)
        subprocess.run(["losetup", "-d", self.device], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    need_root()
    need(shutil.which("mkfs.ext4") and shutil.which("losetup"), "needs mkfs.ext4 and losetup")
    made = Disk(tmp_path)
    try:
        try:
            made.mount()
        except OSError as error:
            pytest.skip(f"NOT TESTED: an ext4 can't be mounted here: {error}")
        yield made
    finally:
        made.close()


def after_the_cut(path: Path, *, acknowledged: bool, identity: str) -> bool:
    """Whether there is a record; it is whole then, and there is one where it was acknowledged."""
    try:
        found = records.read(path)
    except RecordError as error:
        pytest.fail(f"torn: {error}: {path.read_bytes()!r}")
    if acknowledged:
        assert found is not None, "acknowledged and lost"
    if found is not None:
        assert found.identity == identity
        assert found.driver is not None
        assert found.driver.code == 5
    return found is not None


@contextlib.contextmanager
def load(disk: Disk) -> Iterator[None]:
    """Somebody else who writes and syncs, so that the journal is busy."""
    over = threading.Event()

    def write() -> None:
        with contextlib.suppress(OSError):
            while not over.is_set():
                fd = os.open(disk.at / "load", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                try:
                    os.write(fd, bytes(8192))
                    os.fsync(fd)
                finally:
                    os.close(fd)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def cut_at_random(disk: Disk, times: int) -> dict[str, int]:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    seen = {"acknowledged": 0, "present": 0, "absent": 0}
    for number in range(times):
        names = [f"{number}-{i}" for i in range(3)]
        go_read, go_write = os.pipe()
        guards = [
            Guard.start(
                Launch(argv=("/bin/sh", "-c", "read x; exit 5")),
                stdin=go_read,
                record=disk.at / name,
                identity=name,
                containment="tree",
            )
            for name in names
        ]
        os.close(go_read)
        with load(disk) if number % 2 else contextlib.nullcontext():
            os.close(go_write)  # all of them end now
            at = time.perf_counter() + rng.random() * 0.02
            while time.perf_counter() < at:
                pass
            disk.cut()
        acknowledged = {}
        for name, guard in zip(names, guards, strict=True):
            with guard:
                acknowledged[name] = guard.wait(30).not_durable == 0
        disk.unmount()
        disk.mount()
        for name in names:
            there = after_the_cut(disk.at / name, acknowledged=acknowledged[name], identity=name)
            seen["acknowledged"] += acknowledged[name]
            seen["present" if there else "absent"] += 1
            for left in (name, f"{name}.tmp0", f"{name}.tmp1"):
                with contextlib.suppress(FileNotFoundError):
                    (disk.at / left).unlink()
    print(seen)
    assert seen["acknowledged"] > 0
    assert seen["absent"] > 0, "some of the cuts come before the record"
    return seen


@pytest.mark.requirement("fault-13", "guard-2.5")
def test_50_cuts_at_random_moments(disk: Disk) -> None:
    cut_at_random(disk, 50)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("fault-13", "guard-2.5")
def test_1000_cuts_at_random_moments(disk: Disk) -> None:
    cut_at_random(disk, 1000)


@pytest.mark.requirement("fault-13", "guard-2.5")
def test_a_cut_before_each_call_of_the_writing(disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard dies at the Nth call, and the power with it: what its calls up to then did is on the disk."""

    def life(name: str, *options: str) -> tuple[bool, str]:
        with monkeypatch.context() as patch:
            log = traced_guard(patch, tmp_path, *options)
            launch = Launch(argv=("/bin/sh", "-c", "exit 5"))
            with Guard.start(launch, record=disk.at / name, identity=name, containment="tree") as guard:
                try:
                    record = guard.wait(30)
                finally:
                    disk.cut()
        lost = record.cause is Cause.GUARD_LOST
        return not lost and record.not_durable == 0, whole(log)

    told, text = life("whole")
    assert told
    lines = [line for line in text.splitlines() if "(" in line and not line.startswith("execve")]
    first = next(i for i, line in enumerate(lines) if '"whole.tmp0"' in line)
    disk.unmount()
    disk.mount()
    assert after_the_cut(disk.at / "whole", acknowledged=True, identity="whole")
    outcomes = []
    for index in range(first, len(lines)):
        call = lines[index].partition("(")[0]
        nth = sum(line.startswith(f"{call}(") for line in lines[: index + 1])
        name = f"cut-{index}"
        told, text = life(name, f"--inject={call}:signal=KILL:when={nth}")
        disk.unmount()
        disk.mount()
        done = re.findall(r"^fsync\(.* = 0$", text, re.MULTILINE)  # of this life: another may differ by a call
        synced = len(done) == 2
        there = after_the_cut(disk.at / name, acknowledged=told or synced, identity=name)
        assert there == (told or synced)
        outcomes.append((call, there))
    print(outcomes)
    assert not outcomes[0][1]
    assert outcomes[-1][1]
