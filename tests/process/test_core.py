"""The edge to the C core: what goes in, what comes out."""

from __future__ import annotations

import errno
import math
import os
import resource
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs.compiled import tiny

from raydp_wrap import errors
from raydp_wrap._native import ffi, lib
from raydp_wrap.process import Process, _core

if TYPE_CHECKING:
    from pathlib import Path

some = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.requirement("core-1.1")
@some
@given(elements=st.lists(st.sampled_from(["", ".", "one", "two", "none", "x" * 300]), max_size=4))
def test_a_name_is_found_where_execvp_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elements: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "odd").unlink(missing_ok=True)
        (tmp_path / name / "odd").symlink_to(tiny())
    path = ":".join(elements)
    expected = next((e for e in elements if e in ("one", "two")), None)
    if expected is None:
        with pytest.raises(errors.CommandNotFoundError):
            _core.which("odd", {"PATH": path})
    else:
        assert _core.which("odd", {"PATH": path}) == f"{expected}/odd"
        assert shutil.which("odd", path=path) == f"{expected}/odd"


@pytest.mark.requirement("core-1.3")
@pytest.mark.parametrize(
    ("seconds", "nanoseconds"), [(None, -1), (0, 0), (-5, 0), (0.5, 500_000_000), (3, 3_000_000_000)]
)
def test_seconds_become_nanoseconds(seconds: float | None, nanoseconds: int) -> None:
    assert _core.to_ns(seconds) == nanoseconds


@pytest.mark.requirement("core-1.3")
@pytest.mark.parametrize("seconds", [1e10, 1e300, math.inf])
def test_more_seconds_than_can_be_counted(seconds: float) -> None:
    assert 0 < _core.to_ns(seconds) < 2**62


@pytest.mark.requirement("run-3.1")
def test_one_tree_of_errors() -> None:
    found = [getattr(errors, name) for name in errors.__all__]
    assert all(issubclass(kind, errors.RaydpWrapError) for kind in found)
    for kind, builtin, code in (
        (errors.CommandNotFoundError, FileNotFoundError, 127),
        (errors.CommandNotExecutableError, PermissionError, 126),
        (errors.WaitTimeoutError, TimeoutError, 125),
        (errors.StopPendingError, TimeoutError, 125),
    ):
        assert issubclass(kind, builtin)
        assert kind.exit_code == code


@pytest.mark.requirement("core-1.2")
@pytest.mark.parametrize("stage", sorted(_core.STAGES))
@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.E2BIG, errno.EAGAIN, 0, 9999])
def test_every_stage_and_errno_has_its_sentence(stage: int, number: int) -> None:
    error = _core.start_error(stage, number, "/bin/x", "/dir")
    assert error.stage == _core.STAGES[stage]
    assert error.errno == number
    assert "\n" not in str(error)
    assert ("/dir" if error.stage == "cwd" else "/bin/x") in str(error)


@pytest.mark.requirement("core-1.6")
def test_a_request_of_another_version_is_refused_not_misread() -> None:
    spec, child = ffi.new("rd_spec *"), ffi.new("rd_child *")
    text = ffi.new("char[]", tiny().encode())
    spec.executable = spec.argv = text
    spec.argv_len = len(text)
    spec.cgroup_fd = -1
    for size in (0, ffi.sizeof("rd_spec") - 4, ffi.sizeof("rd_spec") + 8):
        spec.size = size
        assert lib.rd_spawn(spec, child) == -errno.EINVAL
        assert (child.stage, child.fd) == (lib.RD_STAGE_SPEC, -1)
    spec.size = ffi.sizeof("rd_spec")
    spec.flags = 1 << 30
    assert lib.rd_spawn(spec, child) == -errno.EINVAL


@pytest.mark.requirement("core-1.1")
def test_the_parent_does_not_pay_for_its_size() -> None:
    """No page of the parent is copied: a start with much memory faults no more pages than one with little."""
    program = tiny()

    def faults() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def cost() -> int:
        before = faults()
        for _ in range(50):
            Process([program]).wait()
        return faults() - before

    cost()
    small = cost()
    memory = bytearray(os.urandom(1 << 20)) * 200
    for at in range(0, len(memory), 4096):
        memory[at] = 1
    large = cost()
    # After a fork, every page written in the parent is copied, and its tables are too.
    for at in range(0, len(memory), 4096):
        memory[at] = 2
    touched = cost()
    assert large <= small + 500
    assert touched <= small + 500
