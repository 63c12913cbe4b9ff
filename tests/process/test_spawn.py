"""A start hands over exactly what was asked for."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs.compiled import show, tiny
from programs.facts import (
    DEADLINE,
    V2,
    alive,
    cgroup,
    environment,
    eventually,
    nothing_left,
    open_fds,
    python,
    read_shown,
    shown,
)

from raydp_wrap.errors import UsageError
from raydp_wrap.process import DEVNULL, PIPE, STDOUT, Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METHODS = [1, 2, 3]
some = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.requirement("core-1.1")
@pytest.mark.parametrize("method", [0, *METHODS])
def test_it_runs_and_ends(method: int) -> None:
    with nothing_left():
        process = Process([tiny(), "7"], method=method)
        assert process.wait(DEADLINE) == 7
        assert process.method == ["clone-pidfd", "clone-pidfd", "pidfd-open", "waitid-thread"][method]
        # The thread behind the eventfd closes its own copy a moment later.
        eventually(lambda: not [t for t in open_fds().values() if "eventfd" in t], "no eventfd left")


no_nul = st.binary(max_size=60).map(lambda b: b.replace(b"\0", b""))
names = no_nul.map(lambda b: b.replace(b"=", b"")).filter(bool)


@pytest.mark.requirement("core-1.1")
@some
@given(arguments=st.lists(no_nul, max_size=8), env=st.dictionaries(names, no_nul, max_size=8))
def test_arguments_and_environment_arrive_byte_for_byte(
    tmp_path: Path, arguments: list[bytes], env: dict[bytes, bytes]
) -> None:
    given_env = {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()}
    got = shown(tmp_path / "out", b"first", *arguments, b"last", env=given_env)
    assert got.argv == [b"show", os.fsencode(tmp_path / "out"), b"first", *arguments, b"last"]
    assert got.env == [name + b"=" + value for name, value in env.items()]


@pytest.mark.requirement("core-1.1")
def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    hostile = ["$(touch gone)", "`id`", "; exit 3", "a b", "*", "$HOME", "\n", "'\"", ""]
    assert shown(tmp_path / "out", *hostile).argv[2:] == [text.encode() for text in hostile]


@pytest.mark.requirement("core-1.1")
def test_environment_is_inherited_replaced_or_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYDP_TEST_MARK", "yes")
    assert b"RAYDP_TEST_MARK=yes" in shown(tmp_path / "out").env
    assert shown(tmp_path / "out", env={}).env == []
    assert shown(tmp_path / "out", env={"A": "1"}).env == [b"A=1"]


@pytest.mark.requirement("core-1.1")
def test_the_directory_is_changed_for_the_child_alone(tmp_path: Path) -> None:
    here = os.getcwd()
    odd = tmp_path / os.fsdecode(b"d\xffr")
    odd.mkdir()
    assert shown(tmp_path / "out", cwd=odd).lines["cwd"] == str(odd)
    assert os.getcwd() == here


@pytest.mark.requirement("core-1.1")
def test_a_relative_path_element_counts_from_the_directory(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "odd-name").symlink_to(tiny())
    assert Process(["odd-name", "4"], cwd=tmp_path, env={"PATH": "bin"}).wait(DEADLINE) == 4


# -- descriptors ------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[int]]:
    opened = [os.open(tmp_path / f"file{i}", os.O_RDWR | os.O_CREAT) for i in range(6)]
    yield opened
    for fd in opened:
        os.close(fd)


@pytest.mark.requirement("core-1.1", "fault-29")
@pytest.mark.parametrize("method", METHODS)
def test_nothing_but_the_standard_streams_is_inherited(tmp_path: Path, files: list[int], method: int) -> None:
    for fd in files:
        os.set_inheritable(fd, 1)
    os.dup2(files[0], 500, inheritable=True)
    try:
        assert set(shown(tmp_path / "out", method=method).fds) == {0, 1, 2}
        assert set(shown(tmp_path / "out", method=method, pass_fds=[files[1], 500]).fds) == {0, 1, 2, files[1], 500}
    finally:
        os.close(500)


@pytest.mark.requirement("core-1.1", "fault-29")
@some
@given(
    data=st.data(),
    choice=st.dictionaries(st.integers(0, 40), st.integers(0, 8), max_size=12),
    identity=st.sets(st.integers(0, 5)),
)
def test_any_mapping_of_descriptors(
    tmp_path: Path, files: list[int], data: st.DataObject, choice: dict[int, int], identity: set[int]
) -> None:
    sources = [0, 1, 2, *files]
    low = files[0]
    # Near the sources' own numbers, where one move can overwrite what another still needs.
    shift = data.draw(st.integers(0, max(0, low - 2)))
    mapping = {target + (shift if target > 2 else 0): sources[source] for target, source in choice.items()}
    passed = [files[i] for i in sorted(identity)]
    here = open_fds()
    expected = {fd: here[fd] for fd in (0, 1, 2, *passed)} | {t: here[s] for t, s in mapping.items()}
    assert shown(tmp_path / "out", fds=mapping, pass_fds=passed).fds == expected
    assert open_fds() == here


@pytest.mark.requirement("core-1.1", "fault-29")
@pytest.mark.parametrize("mapping", [{0: 1, 1: 0}, {0: 1, 1: 2, 2: 0}, {1: 2, 2: 1}, {0: 2, 2: 0, 1: 1}])
def test_the_standard_streams_can_be_swapped(tmp_path: Path, mapping: dict[int, int]) -> None:
    here = open_fds()
    assert shown(tmp_path / "out", fds=mapping).fds == {fd: here[mapping.get(fd, fd)] for fd in (0, 1, 2)}


@pytest.mark.requirement("core-1.1")
def test_streams(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        got = shown(tmp_path / "out", stdin=DEVNULL, stdout=log, stderr=STDOUT)
    assert got.fds == {0: "/dev/null", 1: str(tmp_path / "log"), 2: str(tmp_path / "log")}
    here = open_fds()
    assert shown(tmp_path / "out", stderr=STDOUT).fds[2] == here[1]
    with nothing_left(), Process(["sh", "-c", "cat; echo err >&2"], stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        assert process.communicate(b"in") == (b"in", b"err\n")


@pytest.mark.requirement("core-1.5")
def test_listening_descriptors_arrive_as_systemd_passes_them(tmp_path: Path, files: list[int]) -> None:
    got = shown(tmp_path / "out", listen_fds=[files[3], files[1]], env={"PATH": "/bin"})
    assert got.fds[3] == str(tmp_path / "file3")
    assert got.fds[4] == str(tmp_path / "file1")
    assert b"LISTEN_FDS=2" in got.env
    assert f"LISTEN_PID={got.lines['pid']}".encode() in got.env


# -- session, group, signals ------------------------------------------------------------------


@pytest.mark.requirement("core-1.1")
def test_session_and_group(tmp_path: Path) -> None:
    plain = shown(tmp_path / "out").lines
    assert int(plain["pgrp"]) == os.getpgrp()
    assert int(plain["sid"]) == os.getsid(0)
    assert int(plain["ppid"]) == os.getpid()
    group = shown(tmp_path / "out", new_group=True).lines
    assert group["pgrp"] == group["pid"]
    assert int(group["sid"]) == os.getsid(0)
    session = shown(tmp_path / "out", new_session=True).lines
    assert session["pid"] == session["pgrp"] == session["sid"]


DIRTY = """
import ctypes, os, signal, sys
from raydp_wrap.process import Process
hup, keep = sys.argv[3] == "hup", [int(n) for n in sys.argv[4:]]
for number in range(1, 65):
    if number in (9, 17, 19, 32, 33): continue
    ignored = number != signal.SIGHUP or hup
    signal.signal(number, signal.SIG_IGN if ignored else lambda *_: None)
libc = ctypes.CDLL(None)
mask = (ctypes.c_ulong * 1)(2**64 - 1)
# glibc's own sigprocmask keeps 32 and 33 open: ask the kernel.
assert libc.syscall({"x86_64": 14, "aarch64": 135}[os.uname().machine], 2, mask, None, 8) == 0
action = (ctypes.c_ulong * 4)(1, 0, 0, 0)
for number in (32, 33):
    libc.syscall({"x86_64": 13, "aarch64": 134}[os.uname().machine], number, action, None, 8)
for method in (1, 2, 3):
    process = Process(["show", sys.argv[2] + str(method)], executable=sys.argv[1], method=method, keep_ignored=keep)
    assert process.wait(20) == 0
"""


@pytest.mark.requirement("core-1.1")
@pytest.mark.parametrize(("hup", "keep"), [("hup", []), ("no", []), ("hup", [10, 40]), ("no", [13])])
def test_signals_start_clean_but_for_an_ignored_hup(tmp_path: Path, hup: str, keep: list[int]) -> None:
    out = tmp_path / "out"
    python("-c", DIRTY, show(), str(out), hup, *map(str, keep))
    for method in METHODS:
        got = read_shown(tmp_path / f"out{method}")
        assert got.signals("SigBlk") == set()
        assert got.signals("SigCgt") == set()
        assert got.signals("SigIgn") == ({1} if hup == "hup" else set()) | set(keep)


@pytest.mark.requirement("core-1.1")
def test_the_starting_thread_keeps_its_own_mask() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        Process([tiny()]).wait(DEADLINE)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before | {signal.SIGUSR2}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -- death signal -----------------------------------------------------------------------------


@pytest.mark.requirement("core-1.1")
@pytest.mark.parametrize("method", METHODS)
def test_the_death_signal_is_set_and_comes(tmp_path: Path, method: int) -> None:
    assert shown(tmp_path / "out", death_signal=signal.SIGUSR1, method=method).lines["death"] == "10"
    program = (
        "import sys; from raydp_wrap.process import Process;"
        " p = Process([sys.argv[1], 'pause'], death_signal=9, method=int(sys.argv[2]));"
        " print(p.pid, flush=True); p.wait()"
    )
    parent = Process([sys.executable, "-c", program, tiny(), str(method)], stdout=PIPE, env=environment())
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
        parent.wait(DEADLINE)
        # We are subreaper: the orphan comes to us.
        eventually(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, "the child died with its parent")


@pytest.mark.requirement("thread-spawn", "core-1.1")
@pytest.mark.parametrize("method", METHODS)
def test_a_child_outlives_the_thread_that_started_it(method: int) -> None:
    started: list[Process] = []
    thread = threading.Thread(target=lambda: started.append(Process([tiny(), "pause"], stdout=DEVNULL, method=method)))
    thread.start()
    native = thread.native_id
    thread.join()
    eventually(lambda: not os.path.exists(f"/proc/self/task/{native}"), "the thread has left the kernel")
    (process,) = started
    with pytest.raises(TimeoutError):
        process.wait(0.05)
    assert alive(process.pid)
    assert process.stop(0).signal == signal.SIGKILL


# -- cgroup -----------------------------------------------------------------------------------


@pytest.mark.requirement("core-1.1")
@pytest.mark.skipif(not os.access(os.path.join(V2, "cgroup.procs"), os.W_OK), reason="no writable cgroup v2")
@pytest.mark.parametrize("method", METHODS)
def test_a_child_is_born_in_its_cgroup(method: int) -> None:
    with cgroup(V2, "spawn") as path:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        process = Process([tiny(), "pause"], cgroup=fd, method=method)
        with open(os.path.join(path, "cgroup.procs"), encoding="ascii") as procs:
            assert procs.read().split() == [str(process.pid)]
        process.stop(0, scope="cgroup")
        os.close(fd)


# -- requests that make no sense ----------------------------------------------------------------


@pytest.mark.requirement("run-3.1")
@pytest.mark.parametrize(
    ("argv", "options"),
    [
        ([], {}),
        ("ls -l", {}),
        (b"ls", {}),
        (["ls", "a\0b"], {}),
        (["ls\0x"], {}),
        (["x"], {"executable": "/bin/true\0x"}),
        (["true"], {"cwd": "/\0x"}),
        (["true"], {"env": {"A": "1\0B=2"}}),
        (["true"], {"env": {"A=B": "1"}}),
        (["true"], {"env": {"": "1"}}),
        (["true", "\ud800"], {}),
        (["true"], {"stdin": -2}),
        (["true"], {"stdout": PIPE, "stderr": -9}),
    ],
)
def test_nonsense_is_refused_in_one_sentence(argv: list[str], options: dict[str, object]) -> None:
    with nothing_left(), pytest.raises(UsageError) as refused:
        Process(argv, **options)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    assert str(refused.value)


# -- many -------------------------------------------------------------------------------------


@pytest.mark.requirement("spawn-10000")
def test_ten_thousand_spawns_leave_nothing() -> None:
    program = tiny()
    with nothing_left():
        for number in range(10_000):
            assert Process([program, str(number % 250)], method=1 + number % 2).wait() == number % 250


@pytest.mark.requirement("core-1.1")
@pytest.mark.skipif(not os.access(os.path.join(V2, "cgroup.procs"), os.W_OK), reason="no writable cgroup v2")
@pytest.mark.parametrize("method", METHODS)
def test_a_child_is_born_in_a_cgroup_that_has_been_killed_before(method: int) -> None:
    """Some kernels kill such a child at its birth (a comparison of two cgroups' counts of kills)."""
    with cgroup(V2, "killed") as path:
        with open(os.path.join(path, "cgroup.kill"), "w", encoding="ascii") as file:
            file.write("1")
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        with nothing_left():
            process = Process([tiny(), "pause"], cgroup=fd, method=method)
            with open(os.path.join(path, "cgroup.procs"), encoding="ascii") as procs:
                assert procs.read().split() == [str(process.pid)]
            assert process.stop(DEADLINE, scope="cgroup").signal == signal.SIGTERM
            eventually(lambda: not [t for t in open_fds().values() if "eventfd" in t], "no eventfd left")
        os.close(fd)
