"""What a job has written, on a terminal: whatever it is, only colours are obeyed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.cli.jobs.escapes import TerminalFilter

pytestmark = pytest.mark.requirement("jobs-4.1-logs")


def shown(*pieces: bytes) -> str:
    one = TerminalFilter()
    return "".join(map(one.feed, pieces)) + one.end()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\ttext\n", "plain\ttext\n"),
        ("größe 😀".encode(), "größe 😀"),
        (b"\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m\x1b[0m"),
        (b"\x1b[38:5:1mred", "\x1b[38:5:1mred\x1b[0m"),
        (b"\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        (b"\x1b[2J\x1b[6n", "\\x1b[2J\\x1b[6n"),
        (b"\x1bP1;2q\x1b\\", "\\x1bP1;2q\\x1b\\"),
        ("\x9b2J\u202eevil".encode(), "\\x9b2J\\u202eevil"),
        (b"\x9b2J\xff", "\\x9b2J\\xff"),
        (b"a\0b\x08\x7f", "a\\x00b\\x08\\x7f"),
        (b"10%\r20%\r\n\r\r\n", "10%\n20%\n\n"),
        (b"\x1b", "\\x1b"),
        (b"\x1b[31", "\\x1b[31"),
        (b"end\xe2\x82", "end\\xe2\\x82"),
        (b"\x1b[" + b"1" * 100 + b"m", "\\x1b[" + "1" * 100 + "m"),
    ],
)
def test_controls_are_shown(data: bytes, text: str) -> None:
    assert shown(data) == text


@given(st.lists(st.one_of(st.binary(max_size=8), st.sampled_from([b"\x1b", b"[", b"31m", b"\r", b"\n", b"\xc3"]))))
def test_nothing_gets_through_however_it_comes(pieces: list[bytes]) -> None:
    found = shown(*pieces)
    assert found == shown(b"".join(pieces))
    rest = re.sub("\x1b\\[[0-9;:]{0,60}m", "", found)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", rest)
