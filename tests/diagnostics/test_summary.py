"""From any bytes to a few lines that can be stored, sent and shown."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import pytest
from diagnostics.hostile import unsafe
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.diagnostics import summary
from raydp_wrap.diagnostics.reading import LIMIT
from raydp_wrap.diagnostics.text import LIMIT as TEXT_LIMIT

pytestmark = pytest.mark.requirement("outcome-1.4")


def test_the_exception_then_the_last_lines() -> None:
    source = "try: 1/0\nexcept Exception as e: raise RuntimeError('token=abc') from e"
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, check=False)
    output = b"".join(b"line %d\n" % n for n in range(100)) + run.stderr
    lines = summary(output).split("\n")
    assert lines[0] == "RuntimeError: token=***; root cause: ZeroDivisionError: division by zero"
    assert lines[1] == f"line {50 + run.stderr.count(bytes([10]))}"
    assert lines[-1] == "RuntimeError: token=***"
    assert len(lines) == 51


def test_without_an_exception() -> None:
    assert summary(b"one\ntwo\n\n") == "one\ntwo"
    assert summary(b"one") == "one"
    assert summary(b"\n" * 9) == ""
    assert summary(b"") == ""
    assert summary(b"\n".join(b"%d" % n for n in range(60))).split("\n") == [str(n) for n in range(10, 60)]


def test_an_exception_above_the_last_lines_and_a_sentence_s_stop() -> None:
    frame = b"\tat a.B.c(D.java:1)\n"
    trace = b'Exception in thread "main" a.BError: It failed.\n' + frame + b"Caused by: a.C: why\n" + frame
    lines = summary(trace + b"more\n" * 60).split("\n")
    assert lines == ["a.BError: It failed; root cause: a.C: why", *["more"] * 50]


@pytest.mark.requirement("fault-38")
@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (b"\x1b[2J\x1b]0;title\x07\x9b1m", "\\x1b[2J\\x1b]0;title\\x07\\x9b1m"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b\x1b[0m[0mtrick", "\\x1b[0mtrick"),
        (b"a\x00b\xff\xfe\xc3(", "a\\x00b\\xff\\xfe\\xc3("),
        (b"\xed\xa0\xbd", "\\xed\\xa0\\xbd"),
        ("\u202etxt\u2066".encode(), "\\u202etxt\\u2066"),
        (b" 10%\r 50%\r100%\r\nnext\r\r\n", "100%\nnext"),
        (b"[Stage 0:>  (0 + 1)]\r                    \rdone", "done"),
        ("naïve → 日本".encode(), "naïve → 日本"),
        (b"pass\x1b[0mword\x1b[36m=\x1b[0mhunter2", "password=***"),
        (b"HOME=/x\x00key=hunter2", "HOME=/x\\x00key=***"),
        (b"\x1bkey=hunter2", "\\x1bkey=***"),
        (b"\xffkey=hunter2", "\\xffkey=***"),
    ],
)
def test_hostile_bytes(output: bytes, shown: str) -> None:
    assert summary(output) == shown


def test_a_coloured_traceback_is_seen() -> None:
    output = b'\x1b[35mTraceback\x1b[0m (most recent call last):\n  File "x", line 1\n\x1b[31mValueError\x1b[0m: x\n'
    assert summary(output).startswith("ValueError: x\nTraceback (most")


@pytest.mark.requirement("fault-39")
def test_a_long_line_is_cut_in_its_middle() -> None:
    for size in (2001, LIMIT - 1, LIMIT, 3 * LIMIT):
        shown = summary(b"before\n" + b"x" * size + b"the end\nafter\n").split("\n")
        assert shown[-1] == "after"
        if size < LIMIT - 1:
            assert shown[:-1] == ["before", "x" * 1000 + "…" + "x" * 992 + "the end"]
    shown = summary(b"start " + b"x y" * LIMIT + b" end").split("\n")
    assert len(shown) == 1
    assert len(shown[0]) == 2000
    assert shown[0].endswith(" end")
    assert summary(b"x" * LIMIT).startswith("…x")
    assert len(summary(b"\x00" * 3000)) == 2000


def test_what_lies_before_the_last_mebibyte_is_not_seen() -> None:
    line = "x" * 99
    assert summary(b"x\nValueError: early\n" + f"{line}\n".encode() * (LIMIT // 99)) == "\n".join([line] * 50)


@pytest.mark.requirement("fault-39")
def test_memory_and_length_are_bounded() -> None:
    line = "日" * 900 + "\x1b secret=abc\n"
    output = line.encode() * (4 * LIMIT // len(line.encode()))
    tracemalloc.start()
    try:
        shown = summary(output)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(shown.encode()) <= TEXT_LIMIT
    assert "abc" not in shown
    assert peak < 40 * LIMIT


def test_a_value_that_has_lost_its_name_is_not_shown() -> None:
    after = b"\nnext" + b"x" * (LIMIT - 5 - len(b"hunter2"))
    assert len(summary(b"password=hunter2" + after)) > 9
    assert "hunter2" not in summary(b"password=hunter2" + after)
    assert "hunter2" not in summary(b"password=hunter2" + after.replace(b"\n", b" "))


def test_an_exception_s_line_is_cut() -> None:
    trace = 'Traceback (most recent call last):\n  File "x", line 1\nValueError: ' + "x" * 3000
    first = summary(trace.encode()).split("\n")[0]
    assert first.startswith("ValueError: xxx")
    assert len(first) == 500


PIECES = [
    b"Traceback (most recent call last):\n",
    b'  File "x", line 1\n',
    b"ValueError: x\n",
    b"\nDuring handling of the above exception, another exception occurred:\n\n",
    b"\tat a.B(c)\n",
    b"a.bError: x\n",
    b"Caused by: a.C\n",
    b"\r",
    b"\x1b[",
    b"0m",
    b"\xff",
    b"\xe2\x80\xae",
    b"x" * 3000,
    b"password=",
]


@pytest.mark.requirement("fault-38", "fault-39")
@given(st.lists(st.binary(max_size=20) | st.sampled_from(PIECES), max_size=80).map(b"".join))
def test_any_bytes(output: bytes) -> None:
    shown = summary(output)
    assert len(shown.encode()) <= TEXT_LIMIT
    assert unsafe(shown) == set()
    assert shown.count("\n") <= 50
    assert summary(output) == shown


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit", [b"\n", b"a\n", b"a.bError: x\n", b"\x1b[0", b"\r", b"\x00", "日".encode(), b"a." * 999 + b"\n"]
)
def test_nasty_bytes_take_linear_time(unit: bytes) -> None:
    output = (unit * (LIMIT // len(unit) + 1))[-LIMIT:]
    assert len(summary(output).encode()) <= TEXT_LIMIT


def test_a_success_compiles_nothing() -> None:
    source = "import sys, raydp_wrap.diagnostics as d; d.bounded('x'); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    ours = {name.rpartition(".")[2] for name in run.stdout.split() if name.startswith("raydp_wrap.diagnostics.")}
    assert ours == {"reading", "text"}
