"""raydp-wrap jobs logs."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.jobs.conftest import Jobs, Screen

CHATTY = "while echo y; do sleep 0.02; done"

pytestmark = pytest.mark.requirement("jobs-4.1-logs")


def test_byte_for_byte_and_parts_of_it(jobs: Jobs) -> None:
    found = jobs.ended("--", "sh", "-c", r"printf 'one\ntwo\n\033]0;x\007thr\377ee'")
    whole = b"one\ntwo\n\x1b]0;x\x07thr\xffee"
    for words, raw in (
        ([], whole),
        (["-f"], whole),
        (["--tail", "1"], whole[8:]),
        (["--tail", "0"], b""),
        (["--offset", "4"], whole[4:]),
        (["--since", "1h"], whole),
        (["--stderr"], b""),
    ):
        said = jobs("logs", *words, found)
        assert (said.code, said.raw, said.err) == (0, raw, ""), words


def test_of_which_attempt(jobs: Jobs) -> None:
    found = jobs.ended("--backoff-limit", "2", "--backoff", "10ms", "--", "sh", "-c", "echo $RAYDP_WRAP_ATTEMPT; false")
    assert [jobs("logs", *words, found).out for words in ([], ["--previous"], ["--attempt", "1"])] == [
        "3\n",
        "2\n",
        "1\n",
    ]
    assert "no such attempt" in jobs.refused("logs", "--attempt", "4", found)
    assert "give one of them" in jobs.refused("logs", "--attempt", "1", "-p", found)


def test_followed_into_the_next_attempt_with_a_line_between(jobs: Jobs, tmp_path: Path) -> None:
    for number in (1, 2):
        os.mkfifo(tmp_path / str(number))
    script = f"echo $RAYDP_WRAP_ATTEMPT; read x < {tmp_path}/$RAYDP_WRAP_ATTEMPT; false"
    found = jobs.submit("--backoff-limit", "1", "--backoff", "10ms", "--", "sh", "-c", script)

    def let_go() -> None:
        for number in (1, 2):
            (tmp_path / str(number)).write_text("x\n")

    process = jobs.start("logs", "-f", found)
    assert process.stdout is not None
    assert process.stdout.readline() == b"1\n"
    letting = threading.Thread(target=let_go)
    letting.start()
    out, err = process.communicate(timeout=30)
    letting.join()
    assert (process.returncode, out, err) == (0, b"2\n", b"raydp-wrap: attempt 2:\n")


def test_a_reader_that_leaves_is_no_error(jobs: Jobs) -> None:
    found = jobs.submit("--shell", CHATTY)
    process = jobs.start("logs", "-f", found)
    assert process.stdout is not None
    assert process.stdout.read(2) == b"y\n"
    process.stdout.close()
    assert process.stderr is not None
    assert (process.wait(30), process.stderr.read()) == (0, b"")
    jobs("stop", "--grace", "0", "--wait", found)


@pytest.mark.requirement("jobs-4.1-names")
def test_a_terminal_obeys_colours_only(jobs: Jobs, screen: Callable[..., Screen]) -> None:
    script = r"printf '\033[31mred\033[0m \033]0;title\007\033[2J\0\n10%%\rdone\n\342\200\256evil \377\n'"
    found = jobs.ended("--name", "\x1b[2Jname\u202e", "--tag", "a=\x1b]0;x\x07", "--", "sh", "-c", script)
    one = screen("logs", found)
    assert one.end() == 0
    assert one.seen == (
        "\x1b[31mred\x1b[0m \\x1b]0;title\\x07\\x1b[2J\\x00\r\n10%\r\ndone\r\n\\u202eevil \\xff\r\n\x1b[0m"
    )
    for words in (["list", "-o", "wide", "--limit", "1"], ["status", found], ["why", found]):
        looked = screen(*words)
        assert looked.end() == 0
        assert [bad for bad in ("\x1b[2J", "\x1b]", "\x07", "\u202e") if bad in looked.seen] == [], words
        assert "\\x1b[2Jname\\u202e" in looked.seen


@pytest.mark.slow
def test_a_gigabyte_in_constant_memory(jobs: Jobs) -> None:
    """As much memory as for a line, give or take a few pieces."""

    def peak(found: str) -> int:
        process = jobs.start("logs", found, stdout=subprocess.DEVNULL)
        return os.wait4(process.pid, 0)[2].ru_maxrss

    little = jobs.ended("--", "echo", "line")
    large = jobs.ended("--", "sh", "-c", "yes 0123456789 | head -c 1G")
    assert peak(large) - peak(little) < 8 << 10
    jobs("delete", large)
