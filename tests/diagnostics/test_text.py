"""What is stored and shown is UTF-8, bounded, and does nothing to a terminal."""

from __future__ import annotations

import pytest
from diagnostics.hostile import REORDERING, unsafe
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.diagnostics import bounded
from raydp_wrap.diagnostics.text import escape, shorten

ANY_TEXT = st.text(st.characters(codec=None) | st.sampled_from(sorted(REORDERING)) | st.sampled_from("\x1b\x00\r\n\t…"))


@pytest.mark.requirement("fault-38")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\x00b\rc\x7f", "a\\x00b\\x0dc\\x7f"),
        ("user\u202etxt.exe\u2066", "user\\u202etxt.exe\\u2066"),
        ("one\u2028two", "one\\u2028two"),
        (b"caf\xe9".decode(errors="surrogateescape"), "caf\\xe9"),
        ("half \ud83d", "half \\ud83d"),
        ("naïve → 日本 🎉", "naïve → 日本 🎉"),
    ],
)
def test_what_is_unsafe_is_escaped(text: str, shown: str) -> None:
    assert bounded(text) == shown


@pytest.mark.requirement("outcome-1.4", "fault-38")
@given(ANY_TEXT, st.integers(0, 60))
def test_bounded(text: str, limit: int) -> None:
    result = bounded(text, limit)
    assert len(result.encode()) <= limit
    assert unsafe(result) == set()
    assert bounded(result, limit) == result
    whole = escape(text)
    if len(whole.encode()) <= limit:
        assert result == whole
    elif limit > 3:
        head, _, last = result.partition("…") if "…" not in whole else ("", "", "")
        assert whole.startswith(head)
        assert whole.endswith(last)


def test_the_ends_of_a_long_text_stay() -> None:
    result = bounded("first " + "x" * (1 << 20) + " last")
    assert len(result.encode()) == 64 << 10
    assert result.startswith("first x")
    assert result.endswith("x last")


def test_a_negative_limit_is_none_at_all() -> None:
    assert bounded("text", -1) == ""


@given(st.text(), st.integers(0, 20))
def test_shorten_cuts_the_middle(text: str, limit: int) -> None:
    result = shorten(text, limit)
    assert len(result) <= limit
    assert result in {text, ""} or "…" in result


def test_shorten() -> None:
    assert shorten("0123456789", 5) == "01…89"
    assert shorten("01234", 5) == "01234"
