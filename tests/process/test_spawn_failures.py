"""A failed start names its step and errno, and leaves neither zombie nor descriptor."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from programs.compiled import compiled, tiny
from programs.facts import DEADLINE, cgroup, nothing_left, python, sandboxed

from raydp_wrap.errors import CommandNotExecutableError, CommandNotFoundError, StartError
from raydp_wrap.process import PIPE, Process, ProcessSet

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = [1, 2, 3]
PIDS = "/sys/fs/cgroup/pids"


def script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def foreign_loader(_: Path) -> str:
    return compiled("show", "-Wl,--dynamic-linker=/nowhere/ld.so")


Case = tuple["Callable[[Path], str]", dict[str, object], type[StartError], str, int]
CASES: dict[str, Case] = {
    "no such name": (lambda _: "raydp-no-such", {}, CommandNotFoundError, "exec", errno.ENOENT),
    "no such path": (lambda p: str(p / "none"), {}, CommandNotFoundError, "exec", errno.ENOENT),
    "empty name": (lambda _: "", {}, CommandNotFoundError, "exec", errno.ENOENT),
    "below a file": (
        lambda p: script(p / "f", "") + "/x", {}, CommandNotFoundError, "exec", errno.ENOTDIR,
    ),
    "no permission": (
        lambda p: script(p / "f", "#!/bin/sh\n", 0o644), {}, CommandNotExecutableError, "exec", errno.EACCES,
    ),
    "a directory": (str, {}, CommandNotExecutableError, "exec", errno.EACCES),
    "no interpreter": (
        lambda p: script(p / "f", "#!/nowhere/sh\n"), {}, CommandNotExecutableError, "interpreter", errno.ENOENT,
    ),
    "no loader": (foreign_loader, {}, CommandNotExecutableError, "interpreter", errno.ENOENT),
    "not a program": (
        lambda p: script(p / "f", "echo hello\n"), {}, CommandNotExecutableError, "exec", errno.ENOEXEC,
    ),
    "no directory": (lambda _: tiny(), {"cwd": "/nowhere"}, StartError, "cwd", errno.ENOENT),
    "directory is a file": (lambda _: tiny(), {"cwd": "/etc/passwd"}, StartError, "cwd", errno.ENOTDIR),
    "descriptor not open": (lambda _: tiny(), {"fds": {4: 9999}}, StartError, "fds", errno.EBADF),
    "descriptor to pass not open": (lambda _: tiny(), {"pass_fds": [9999]}, StartError, "fds", errno.EBADF),
    "negative descriptor": (lambda _: tiny(), {"pass_fds": [-1]}, StartError, "spec", errno.EBADF),
    "no such signal": (lambda _: tiny(), {"death_signal": 99}, StartError, "death-signal", errno.EINVAL),
    "not a terminal": (lambda _: tiny(), {"terminal": 9999}, StartError, "terminal", errno.EBADF),
    "no such method": (lambda _: tiny(), {"method": 9}, StartError, "spec", errno.EINVAL),
}  # fmt: skip


@pytest.mark.requirement("core-1.2")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_each_kind(tmp_path: Path, case: str, method: int) -> None:
    make, options, kind, stage, number = CASES[case]
    command = make(tmp_path)
    with nothing_left(), pytest.raises(kind) as failed:
        Process([command, "1"], **{"method": method, **options}, stdin=PIPE, stdout=PIPE)  # type: ignore[arg-type]
    assert (failed.value.stage, failed.value.errno) == (stage, number)
    assert str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.requirement("core-1.2")
@pytest.mark.parametrize("method", METHODS)
def test_too_many_arguments(method: int) -> None:
    for arguments in (["x" * 200_000], ["y" * 1000] * 7000):
        with nothing_left(), pytest.raises(StartError) as failed:
            Process([tiny(), *arguments], method=method)
        assert (failed.value.stage, failed.value.errno) == ("exec", errno.E2BIG)


@pytest.mark.requirement("core-1.2")
def test_a_program_that_is_being_written(tmp_path: Path) -> None:
    program = tmp_path / "busy"
    program.write_bytes(Path(tiny()).read_bytes())
    program.chmod(0o755)
    with program.open("r+b"), nothing_left(), pytest.raises(CommandNotExecutableError) as failed:
        Process([str(program)])
    assert (failed.value.stage, failed.value.errno) == ("exec", errno.ETXTBSY)


@pytest.mark.requirement("core-1.2")
def test_a_name_found_only_where_it_cannot_be_executed(tmp_path: Path) -> None:
    (tmp_path / "no").mkdir()
    (tmp_path / "yes").mkdir()
    script(tmp_path / "no" / "odd-name", "#!/bin/sh\n", 0o644)
    path = {"PATH": f"{tmp_path}/no:{tmp_path}/yes"}
    with pytest.raises(CommandNotExecutableError):
        Process(["odd-name"], env=path)
    script(tmp_path / "yes" / "odd-name", "#!/bin/sh\nexit 5\n")
    assert Process(["odd-name"], env=path).wait(DEADLINE) == 5


@pytest.mark.requirement("core-1.2")
def test_a_set_fails_in_the_same_words(tmp_path: Path) -> None:
    with nothing_left(), ProcessSet() as many:
        for command, kind in (("raydp-no-such", CommandNotFoundError), (str(tmp_path), CommandNotExecutableError)):
            with pytest.raises(kind):
                many.spawn([command])
        assert len(many) == 0
        number = many.spawn([tiny(), "3"])
        assert [(n, exit_.code) for n, exit_ in many.wait(DEADLINE)] == [(number, 3)]


LIMITED = """
import errno, json, os, resource, sys
from programs.facts import nothing_left
from raydp_wrap.errors import StartError
from raydp_wrap.process import PIPE, Process, _core
program, what, method, probed = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "probed"
if probed:
    _core.capabilities()
import warnings, asyncio, selectors
said = []
command = [program, "1"]
def attempt(**options):
    try:
        Process(command, method=method, **options).wait()
        said.append(None)
    except StartError as error:
        said.append([error.stage, error.errno, str(error)])
with nothing_left():
    if what == "memory":
        # Enough for the words, one byte each; not for the vector of pointers to them, eight bytes each.
        command += [""] * 200_000
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        limit = resource.RLIMIT_AS, size + 1000 * 1024
    elif what == "pids":
        os.setgid(65534); os.setuid(65534)
        limit = resource.RLIMIT_NPROC, 1
    elif what == "fds":
        fd = os.dup(0); os.close(fd)
        limit = resource.RLIMIT_NOFILE, fd
    before = resource.getrlimit(limit[0])
    resource.setrlimit(limit[0], (limit[1], before[1]))
    attempt()
    if what == "fds":
        attempt(stdin=PIPE, stdout=PIPE)
    resource.setrlimit(limit[0], before)
    attempt()
print(json.dumps(said))
"""


def limited(what: str, method: int, probed: str) -> list[tuple[str, int, str] | None]:
    said: list[tuple[str, int, str] | None] = json.loads(python("-c", LIMITED, tiny(), what, str(method), probed))
    assert said.pop() is None, "once the limit is lifted, a start succeeds"
    return said


@pytest.mark.requirement("core-1.2")
@pytest.mark.parametrize("probed", ["probed", "first"])
@pytest.mark.parametrize("method", [0, *METHODS])
def test_no_memory(method: int, probed: str) -> None:
    (failed,) = limited("memory", method, probed)
    assert failed is not None
    assert failed[:2] == ["memory", errno.ENOMEM]


@pytest.mark.requirement("core-1.2", "fault-28")
@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become a user without processes")
@pytest.mark.parametrize("probed", ["probed", "first"])
@pytest.mark.parametrize("method", [0, *METHODS])
def test_no_pids_for_this_user(method: int, probed: str) -> None:
    (failed,) = limited("pids", method, probed)
    assert failed is not None
    assert failed[:2] == ["clone", errno.EAGAIN]
    assert "clone" in failed[2]


@pytest.mark.requirement("fault-27")
@pytest.mark.parametrize("probed", ["probed", "first"])
@pytest.mark.parametrize("method", [0, *METHODS])
def test_no_descriptors(method: int, probed: str) -> None:
    plain, piped = limited("fds", method, probed)
    assert plain is not None
    assert plain[:2] == ["clone", errno.EMFILE]
    assert piped is not None
    assert piped[:2] == ["fds", errno.EMFILE]


IN_CGROUP = """
import json, os, sys
from programs.facts import nothing_left
from raydp_wrap.errors import StartError
from raydp_wrap.process import Process, _core
program, path, room, method = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
_core.capabilities()
with open(path + "/cgroup.procs", "w") as file:
    file.write("0")
with open(path + "/pids.max", "w") as file:
    file.write(str(1 + room))
with nothing_left():
    try:
        Process([program, "pause"], method=method)
    except StartError as error:
        print(json.dumps([error.stage, error.errno]))
with open(path + "/pids.max", "w") as file:
    file.write("max")
assert Process([program, "6"], method=method).wait() == 6
"""


@pytest.mark.requirement("core-1.2", "fault-28")
@pytest.mark.skipif(not os.access(PIDS, os.W_OK), reason="no writable pids cgroup (v1)")
@pytest.mark.parametrize(("method", "room"), [(1, 0), (2, 0), (3, 0), (3, 1)])
def test_no_pids_in_this_cgroup(method: int, room: int) -> None:
    """With room for one, the child starts and the thread that would watch it can't: neither is left."""
    with cgroup(PIDS, "pids") as path:
        said = python("-c", IN_CGROUP, tiny(), path, str(room), str(method))
    assert json.loads(said) == ["clone", errno.EAGAIN]


SANDBOXED = """
import json, sys
from programs.facts import nothing_left
from raydp_wrap._native import ffi, lib
from raydp_wrap.errors import StartError
from raydp_wrap.process import Process
program, method = sys.argv[1].encode(), int(sys.argv[2])
said = []
with nothing_left():
    try:
        Process([sys.argv[1], "pause"], method=method)
    except StartError as error:
        said.append([error.stage, error.errno])
    # Beneath the probe, which fails first above.
    spec, child, text = ffi.new("rd_spec *"), ffi.new("rd_child *"), ffi.new("char[]", program)
    spec.size, spec.method, spec.cgroup_fd = ffi.sizeof("rd_spec"), method, -1
    spec.executable = spec.argv = text
    spec.argv_len = len(text)
    said.append([-lib.rd_spawn(spec, child), child.stage == lib.RD_STAGE_CLONE])
    said.append(-lib.rd_probe(ffi.new("rd_caps *")))
print(json.dumps(said))
"""


@pytest.mark.requirement("fault-27", "fault-28")
@pytest.mark.parametrize("number", [errno.ENFILE, errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
@pytest.mark.parametrize(("call", "flag", "method"), [("clone", 0x1000, 0), ("clone", 0x1000, 1), ("pidfd_open", 0, 2)])
def test_the_kernel_is_out_of_something(call: str, flag: int, method: int, number: int) -> None:
    """Want of a resource is no missing feature: no fallback hides it, and a child that ran is not left."""
    said = sandboxed([(call, number, flag)], "-c", SANDBOXED, tiny(), str(method))
    assert json.loads(said) == [["clone", number], [number, True], number]
