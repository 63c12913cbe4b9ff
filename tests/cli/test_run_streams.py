"""stdin, stdout and stderr are the command's own, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from programs.wrapping import Wrap, line, reap_orphans, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("run-3.2")

EVERY_BYTE = bytes(range(256))


def test_nothing_of_ours_is_printed_on_success(wrap: Wrap) -> None:
    done = wrap.run("--", "true")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert wrap.left() == []


def test_binary_goes_through(wrap: Wrap) -> None:
    done = wrap.run("--", "cat", input=EVERY_BYTE)
    assert (done.returncode, done.stdout, done.stderr) == (0, EVERY_BYTE, b"")


def test_many_bytes_go_through(wrap: Wrap) -> None:
    data = os.urandom(1 << 20) * 8
    done = wrap.run("--", "cat", input=data)
    assert done.returncode == 0
    assert done.stdout == data


def test_stdout_and_stderr_are_not_mixed(wrap: Wrap) -> None:
    done = wrap.run("--", "sh", "-c", "for i in 1 2 3; do echo out$i; echo err$i >&2; done; exit 9")
    assert (done.returncode, done.stdout, done.stderr) == (9, b"out1\nout2\nout3\n", b"err1\nerr2\nerr3\n")


def test_the_end_of_stdin_reaches_the_command(wrap: Wrap) -> None:
    process = wrap.start("--", "sh", "-c", "echo ready; cat; echo over")
    assert line(process) == b"ready"
    out, _ = process.communicate(b"last\n", timeout=30)
    assert out == b"last\nover\n"


def test_stdout_ends_when_the_command_closes_it(wrap: Wrap) -> None:
    process = wrap.start("--", "sh", "-c", "echo one; exec >&-; read wait")
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.read() == b"one\n"
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(30) == 1  # read found the end


def test_a_writer_to_stdin_sees_that_the_command_closed_it(wrap: Wrap) -> None:
    process = wrap.start("--", "sh", "-c", "exec <&-; echo closed; sleep 60")
    assert line(process) == b"closed"
    stdin = process.stdin
    assert stdin is not None

    def broken() -> bool:  # a moment later: the command may be faster than we are at letting go
        try:
            return os.write(stdin.fileno(), b"x") == 0
        except BrokenPipeError:
            return True

    until(broken, "nobody holds the other end")
    process.terminate()
    process.wait(30)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_with_closed_streams_the_command_runs(wrap: Wrap, tmp_path: Path, closed: tuple[int, ...]) -> None:
    marker = tmp_path / "ran"
    command = [*wrap.argv("--", "sh", "-c", f"echo yes > {marker}; exit 5")]
    shut = " ".join(f"{fd}{'<' if fd == 0 else '>'}&-" for fd in closed)
    assert subprocess.run(["sh", "-c", f'exec "$@" {shut}', "sh", *command], check=False, timeout=60).returncode == 5
    assert marker.read_text() == "yes\n"
    assert wrap.left() == []


def test_a_closed_stderr_turns_no_message_to_stdout(wrap: Wrap) -> None:
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh", *wrap.argv("--", "no-such-command-at-all")]
    done = subprocess.run(shell, check=False, stdout=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stdout) == (127, b"")


def test_a_reader_that_leaves_ends_the_command_as_if_called_directly(wrap: Wrap) -> None:
    script = '"$@" | head -1; echo ${PIPESTATUS[@]}'
    wrapped = subprocess.run(
        ["bash", "-c", script, "bash", *wrap.argv("--", "yes")], check=False, capture_output=True, timeout=60
    )
    direct = subprocess.run(["bash", "-c", script, "bash", "yes"], check=False, capture_output=True, timeout=60)
    assert wrapped.stdout == direct.stdout == b"y\n141 0\n"
    assert wrapped.stderr == direct.stderr == b""


def test_sigpipe_and_sigxfsz_are_at_their_default_for_the_command(wrap: Wrap) -> None:
    done = wrap.run("--", "grep", "^SigIgn", "/proc/self/status")
    ignored = int(done.stdout.split()[1], 16)
    assert not ignored & (1 << 12 | 1 << 24), hex(ignored)


def test_a_descriptor_the_command_names_is_passed(wrap: Wrap) -> None:
    command = ["bash", "-c", '"$@" cat <(echo one) <(echo two)', "bash", *wrap.argv("--")]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    reap_orphans()  # bash doesn't wait for its <(…)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"one\ntwo\n", b"")


def test_a_descriptor_the_command_does_not_name_is_not(wrap: Wrap, tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as file:
        listing = "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"
        done = wrap.run("--", sys.executable, "-c", listing, pass_fds=[file.fileno()])
    assert done.stdout == b"[0, 1, 2, 3]\n"  # 3 is the listing's own


def test_with_json_a_reader_that_leaves_changes_nothing(wrap: Wrap) -> None:
    script = 'set -o pipefail; "$@" | true'
    command = ["bash", "-c", script, "bash", *wrap.argv("--json", "--", "sh", "-c", "exec >&-; sleep 0.2; exit 6")]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (6, b"", b"")


def test_with_json_a_full_disk_is_told_in_one_line(wrap: Wrap) -> None:
    with open("/dev/full", "wb") as full:
        done = wrap.run("--json", "--", "sh", "-c", "exit 6", stdout=full)
    assert done.returncode == 6
    assert done.stderr.count(b"\n") == 1
    assert b"No space left" in done.stderr
    assert b"FAILED" in done.stderr
