"""``--report FILE``: whole or not at all, and never the reason for another exit code."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from programs.wrapping import Wrap

pytestmark = pytest.mark.requirement("run-3.3")


def neighbours(wrap: Wrap) -> list[str]:
    return sorted(path.name for path in wrap.tmp_path.iterdir() if path.name != "state")


def test_it_replaces_what_was_there(wrap: Wrap) -> None:
    wrap.report.write_text("old")
    assert wrap.run("--report", str(wrap.report), "--", "sh", "-c", f"cat {wrap.report}").stdout == b"old"
    assert wrap.outcome()["state"] == "FINISHED"
    assert neighbours(wrap) == ["report.json"]
    assert stat.S_IMODE(wrap.report.stat().st_mode) == 0o644 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_link_is_replaced_and_its_target_untouched(wrap: Wrap, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    wrap.report.symlink_to("target")
    wrap.run("--report", str(wrap.report), "--", "true")
    assert (tmp_path / "target").read_text() == "mine"
    assert wrap.outcome()["state"] == "FINISHED"
    assert neighbours(wrap) == ["report.json", "target"]


def test_a_link_to_nowhere_is_replaced(wrap: Wrap) -> None:
    wrap.report.symlink_to("nowhere")
    wrap.run("--report", str(wrap.report), "--", "true")
    assert wrap.outcome()["state"] == "FINISHED"
    assert neighbours(wrap) == ["report.json"]


def test_it_is_relative_to_where_we_were_called(wrap: Wrap, tmp_path: Path) -> None:
    wrap.run("--report", "report.json", "--cwd", "/", "--", "true", cwd=tmp_path)
    assert wrap.outcome()["state"] == "FINISHED"


def test_a_name_that_is_no_text(wrap: Wrap, tmp_path: Path) -> None:
    wrap.run("--report", os.fsencode(tmp_path) + b"/\xff\xfe", "--name", b"\xff", "--", "true")
    (path,) = [path for path in tmp_path.iterdir() if path.name != "state"]
    assert os.fsencode(path.name) == b"\xff\xfe"
    assert json.loads(path.read_bytes())["name"] == "\udcff"


def test_the_longest_name_there_is(wrap: Wrap, tmp_path: Path) -> None:
    name = "x" * 255
    assert wrap.run("--report", str(tmp_path / name), "--", "true").returncode == 0
    assert neighbours(wrap) == [name]


def test_it_is_synced_before_it_is_renamed_and_its_directory_after(wrap: Wrap, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    calls = "trace=rename,renameat,renameat2,fsync,openat"
    command = [
        "strace",
        "-f",
        "-y",
        "-o",
        str(trace),
        "-e",
        calls,
        *wrap.argv("--report", str(wrap.report), "--", "true"),
    ]
    try:
        subprocess.run(command, check=True, timeout=60, capture_output=True, start_new_session=True)
    except FileNotFoundError:
        pytest.skip("NEEDS strace")
    every = [row.partition(" ") for row in trace.read_text().splitlines()]
    teller = next(pid for pid, _, row in every if "rename" in row and f'"{wrap.report.name}"' in row)
    ours = [row.lstrip() for pid, _, row in every if pid == teller and str(tmp_path) in row]
    steps = [row[:5] for row in ours if row.startswith(("fsync", "rename"))]
    assert steps == ["fsync", "renam", "fsync"]
    assert f"<{tmp_path}>" in next(row for row in reversed(ours) if row.startswith("fsync"))


def _tmpfs(where: Path) -> None:
    where.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k"]
    if subprocess.run(["mount", *options, "tmpfs", where], check=False, capture_output=True).returncode:
        pytest.skip("NEEDS ROOT: tmpfs can't be mounted here")


def test_a_full_disk_at_the_end_is_told_and_the_code_stays(wrap: Wrap, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    _tmpfs(disk)
    try:
        fill = f"cat /dev/zero > {disk}/filler 2>/dev/null; exit 42"
        done = wrap.run(
            "--report", f"{disk}/report.json", "--report-timeout", "500ms", "--json", "--", "sh", "-c", fill
        )
        assert done.returncode == 42
        assert done.stderr.count(b"\n") == 1
        assert b"No space left" in done.stderr
        assert b"the outcome, FAILED, was not delivered" in done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["exit_code"] == 42
        assert [path.name for path in disk.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_directory_that_the_job_removed_is_told_and_the_code_stays(wrap: Wrap, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    done = wrap.run(
        "--report", str(there / "report"), "--report-timeout", "500ms", "--", "sh", "-c", f"rm -r {there}; exit 0"
    )
    assert done.returncode == 0
    assert done.stderr.count(b"\n") == 1
    assert b"FINISHED" in done.stderr
    assert wrap.left() == []


def test_a_file_that_is_a_mount_point_is_written_in_place(wrap: Wrap, tmp_path: Path) -> None:
    """A file bound into a container, as a pod's termination log is, can't be replaced."""
    wrap.report.touch()
    (tmp_path / "source").touch()
    bind = ["mount", "--bind", str(tmp_path / "source"), str(wrap.report)]
    if subprocess.run(bind, check=False, capture_output=True).returncode:
        pytest.skip("NEEDS ROOT: nothing can be mounted here")
    try:
        done = wrap.run("--report", str(wrap.report), "--", "true")
    finally:
        subprocess.run(["umount", wrap.report], check=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads((tmp_path / "source").read_text())["state"] == "FINISHED"
    assert neighbours(wrap) == ["report.json", "source"]


def test_it_has_the_keys_that_everybody_knows(wrap: Wrap) -> None:
    wrap.run("--report", str(wrap.report), "--", "sh", "-c", "exit 3")
    assert list(wrap.outcome()) == [
        "schema", "submission_id", "name", "app_id", "attempt", "state", "exit_code", "signal", "reason", "diagnostics",
        "evidence", "started_at", "ended_at", "rusage", "tags",
    ]  # fmt: skip
