"""What a guard costs and keeps to itself: memory, calls, clocks, descriptors; and what it counts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crash.harness import Owner, need, need_root, strays, until
from crash.traced import calls, tampered_guard, traced_guard

from raydp_wrap.model import Cause, Launch
from raydp_wrap.process import Guard, Phase, cgroup
from raydp_wrap.process import record as records

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("strays")
__all__ = ["strays"]

YEAR = 365 * 24 * 3600
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def status(pid: int, name: str) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    raise KeyError(name)


@pytest.mark.requirement("guard-2.1")
def test_memory_and_place(tmp_path: Path) -> None:
    """Measured while it has work behind it: a ladder, a sweep, news."""
    with Guard.start(Launch(argv=("/bin/sh", "-c", "sleep 60 & wait")), record=tmp_path / "record") as guard:
        for _ in range(50):
            assert guard.state() is Phase.RUNNING
        resident = int(status(guard.guard_pid, "VmRSS").split()[0])
        print(f"{resident} kB RSS")
        assert resident <= 64
        assert int(status(guard.guard_pid, "PPid")) == os.getpid()
        assert int(status(guard.pid, "PPid")) == guard.guard_pid
        assert int(status(guard.guard_pid, "Threads")) == 1
        guard.stop()
        guard.wait(30)


@pytest.mark.requirement("guard-2.1")
def test_it_is_the_subreaper() -> None:
    read_end, write_end = os.pipe()
    script = "(setsid sh -c 'echo $$; exec sleep 60' &) ; sleep 60"
    with Guard.start(Launch(argv=("/bin/sh", "-c", script)), stdout=write_end, grace=0.5) as guard:
        os.close(write_end)
        orphan = int(os.read(read_end, 100))
        os.close(read_end)
        until(lambda: int(status(orphan, "PPid")) == guard.guard_pid, "the orphan comes to the guard")
    assert not os.path.exists(f"/proc/{orphan}/exe")


@pytest.mark.requirement("guard-2.1")
def test_it_sleeps_while_nothing_happens() -> None:
    with Guard.start(Launch(argv=("/bin/sleep", "60")), active_deadline=3600, start_deadline=3600) as guard:
        until(lambda: status(guard.guard_pid, "State").startswith("S"), "the guard waits")
        names = ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")
        before = [status(guard.guard_pid, name) for name in names]
        time.sleep(1.5)  # the time in which nothing may happen: there is no event to wait for
        assert [status(guard.guard_pid, name) for name in names] == before


@pytest.mark.requirement("guard-2.1")
def test_it_never_asks_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = traced_guard(monkeypatch, tmp_path)
    script = "for i in 1 2 3 4 5 6 7 8; do setsid sleep 60 & done; wait"
    with Guard.start(
        Launch(argv=("/bin/sh", "-c", script)), record=tmp_path / "record", sweep_grace=0.1, grace=0.1
    ) as guard:
        for _ in range(200):
            guard.state()
        guard.stop()
        guard.wait(30)
    made = calls(log)
    assert made["sendto"] > 200
    assert not {"brk", "mmap", "mremap", "madvise"} & made.keys()


@pytest.mark.requirement("fault-22")
def test_deadlines_do_not_follow_the_wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLOCK_REALTIME is a year behind, then a year ahead; see tampered.c."""
    tampered_guard(monkeypatch, tmp_path, "year")
    stubborn = ("/bin/sh", "-c", "trap '' TERM; while :; do sleep 60; done")
    began = time.monotonic()
    with Guard.start(Launch(argv=stubborn), active_deadline=0.4, grace=0.3, record=tmp_path / "record") as guard:
        record = guard.wait(30)
    took = time.monotonic() - began
    assert record.cause is Cause.ACTIVE_DEADLINE
    assert record.driver is not None
    assert record.driver.signal == signal.SIGKILL
    assert 0.7 <= record.duration <= took
    assert record.stop is not None
    off = [abs(at - time.time()) for at in (record.started_at, record.stop.at, record.ended_at)]
    assert min(off) > 0.9 * YEAR, "the clock really was another"
    with Guard.start(Launch(argv=("/bin/sleep", "0.3")), active_deadline=3600, start_deadline=3600) as guard:
        record = guard.wait(30)
    assert record.cause is Cause.NONE
    assert record.driver is not None
    assert record.driver.code == 0


# ---- descriptors --------------------------------------------------------------------------------

COLLIDING = """
import json, os, sys
from raydp_wrap.model import Launch
from raydp_wrap.process import Guard
folder = sys.argv[1]
wanted = tuple(range(3, 35))
low = os.open(folder, os.O_RDONLY)
for fd in wanted:
    made = os.open(f"{folder}/{fd}", os.O_RDWR | os.O_CREAT)
    if made != fd:
        os.dup2(made, fd)
        os.close(made) if made not in wanted else None
child = '''
import json, os, sys
for fd in range(3, 35):
    os.write(fd, b"%d" % fd)
seen = sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + n))
print(json.dumps({"fds": seen, "env": os.environ.get("PROBE"), "count": len(os.environ)}))
sys.exit(9)
'''
out = os.open(f"{folder}/out", os.O_RDWR | os.O_CREAT)
socket = f"{folder}/socket"
env = {"PROBE": "with spaces\\n\\u00e9=", "PATH": os.environ["PATH"], "EMPTY": ""}
with Guard.start(Launch(argv=(sys.executable, "-c", child), env=env, pass_fds=wanted), stdout=out,
                 record=f"{folder}/record", on_owner_death=("/bin/true", "x")) as guard:
    record = guard.wait(60)
os.write(2, json.dumps({"code": record.driver.code, "durable": record.not_durable}).encode())
"""


@pytest.mark.requirement("fault-29", "guard-2.1")
def test_32_passed_descriptors_on_the_guards_own_numbers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COLLIDING, str(tmp_path)],
        env=ENV,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
    )
    assert json.loads(done.stderr) == {"code": 9, "durable": 0}
    seen = json.loads((tmp_path / "out").read_text())
    # Python adds LC_CTYPE in the C locale; the mark is the guard's.
    assert seen["fds"] == list(range(35))
    assert seen["env"] == "with spaces\né="
    assert seen["count"] - 4 in (0, 1)
    for fd in range(3, 35):
        assert (tmp_path / str(fd)).read_text() == str(fd)
    assert records.read(tmp_path / "record") is not None


@pytest.mark.requirement("fault-29")
def test_the_driver_has_0_to_2_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    left_open = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    for fd in left_open:
        os.set_inheritable(fd, True)  # noqa: FBT003 - positional only
    with (
        out.open("wb") as file,
        Guard.start(
            Launch(argv=("/bin/sh", "-c", "ls -l /proc/$$/fd")), stdout=file, record=tmp_path / "record"
        ) as guard,
    ):
        record = guard.wait(30)
    for fd in left_open:
        os.close(fd)
    assert record.driver is not None
    assert record.driver.code == 0
    numbers = sorted(line.partition(" -> ")[0].split()[-1] for line in out.read_text().splitlines() if " -> " in line)
    assert numbers == ["0", "1", "2"]


@pytest.mark.requirement("guard-2.4")
def test_end_of_file_when_the_job_ends_though_its_guard_stays() -> None:
    """The guard waits for its owner's report, and must not hold the driver's streams meanwhile."""
    read_end, write_end = os.pipe()
    passed_read, passed_write = os.pipe()
    os.set_inheritable(passed_write, True)  # noqa: FBT003 - positional only
    with Guard.start(
        Launch(argv=("/bin/echo", "hello"), pass_fds=(passed_write,)),
        stdout=write_end,
        on_owner_death=("/bin/false",),
    ) as guard:
        os.close(write_end)
        os.close(passed_write)
        with os.fdopen(read_end, "rb") as file:
            assert file.read() == b"hello\n"
        with os.fdopen(passed_read, "rb") as file:
            assert file.read() == b""
        assert guard.wait(30).tree_empty
        assert status(guard.guard_pid, "State").startswith(("S", "R"))


NO_DESCRIPTORS = """
import os, resource, sys
from raydp_wrap.errors import RaydpWrapError, StartError
from raydp_wrap.model import Launch
from raydp_wrap.process import Guard, _core, cgroup
_core.capabilities()
cgroup.locate()
path = sys.argv[1]
used = len(os.listdir("/proc/self/fd"))
stages = []
for limit in range(used - 1, used + 40):
    before = sorted(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, 4096))
    try:
        with Guard.start(Launch(argv=("/bin/sh", "-c", "exit 4")), record=path) as guard:
            record = guard.wait(30)
        assert record.driver.code == 4, record
        stages.append("ran" if not record.not_durable else f"errno {record.not_durable}")
    except StartError as error:
        assert error.errno == 24, error
        assert error.stage in ("guard", "fds", "clone"), error.stage
        stages.append(error.stage)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    assert sorted(os.listdir("/proc/self/fd")) == before
print(" ".join(dict.fromkeys(stages)))
"""


@pytest.mark.requirement("fault-27")
def test_no_descriptors_left_is_a_named_step(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_DESCRIPTORS, str(tmp_path / "record")],
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "guard"
    assert done.stdout.split()[-1] == "ran"


# ---- out of memory ------------------------------------------------------------------------------


@pytest.fixture
def small_memory() -> Iterator[Path]:
    need_root()
    counter = cgroup.locate()[1]
    need(counter and counter.endswith("memory.oom_control"), "needs a cgroup v1 memory controller to limit")
    assert counter
    group = Path(counter).parent / f"raydp-wrap-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"NOT TESTED: no memory cgroup can be made: {error}")
    (group / "memory.limit_in_bytes").write_text(str(96 << 20))
    yield group
    until(lambda: not (group / "cgroup.procs").read_text(), "its members have ended")
    group.rmdir()


@pytest.mark.requirement("guard-2.5")
@pytest.mark.parametrize(
    ("script", "killed"), [("x = b'x' * (300 << 20)", "by OOM"), ("os.kill(os.getpid(), 9)", "by itself")]
)
def test_oom_kills_are_counted_and_plain_kills_are_not(
    tmp_path: Path, small_memory: Path, script: str, killed: str
) -> None:
    plan = {
        "argv": [sys.executable, "-c", f"import os; {script}"],
        "start": {"record": str(tmp_path / "record")},
        "then": ["wait", "close"],
    }
    join = ("/bin/sh", "-c", f'echo $$ > {small_memory}/cgroup.procs; exec "$@"', "sh")
    owner = Owner(plan, wrap=join)
    owner.started()
    owner.go()
    told = owner.line()
    owner.go()
    assert owner.line()["closed"]
    owner.kill()
    assert told["signal"] == signal.SIGKILL
    assert told["cause"] == "NONE"
    assert (told["oom_kills"] >= 1) == (killed == "by OOM")
    found = records.read(tmp_path / "record")
    assert found is not None
    assert found.oom_kills == told["oom_kills"]
