"""A guard under strace: its calls seen, failed, delayed, or it killed at one of them."""

from __future__ import annotations

import platform
import re
import shlex
from collections import Counter
from typing import TYPE_CHECKING

from crash.harness import compiled, need, need_strace, until

from raydp_wrap.process import guard as guards
from raydp_wrap.process.sweep import MARK

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

REAL_GUARD = guards.GUARD_PATH


def traced_guard(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> Path:
    """Put strace around every guard that is started; the log of the guard's own calls.

    -DDD makes strace a grandchild in a session of its own: the guard keeps its parent, and nobody reaps the
    tracer by mistake. Without -f only the guard is traced, not its driver: a vfork child is left alone too.
    """
    log = folder / "guard.trace"
    log.unlink(missing_ok=True)
    wrapper = folder / "traced-guard"
    words = [need_strace(), "-DDD", "-q", "-o", str(log), *options]
    # The mark is the guard's, not the tracer's: whoever sweeps after the guard would end the tracer too.
    wrapper.write_text(
        f"#!/bin/sh\nmark=${MARK}\nunset {MARK}\n"
        f'exec {shlex.join(words)} -E {MARK}="$mark" {shlex.quote(REAL_GUARD)} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setattr(guards, "GUARD_PATH", str(wrapper))
    return log


def tampered_guard(monkeypatch: pytest.MonkeyPatch, folder: Path, what: str) -> None:
    """Have every guard that is started run under tampered.c."""
    need(platform.machine() == "x86_64", "the tracer that tampers with system calls knows x86-64 only")
    wrapper = folder / "tampered-guard"
    wrapper.write_text(f'#!/bin/sh\nexec {compiled("tampered.c")} {what} {shlex.quote(REAL_GUARD)} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(guards, "GUARD_PATH", str(wrapper))


def whole(log: Path) -> str:
    """The log, once strace has seen the guard's end."""

    def text() -> str:
        seen = log.read_text() if log.exists() else ""
        return seen if "+++ " in seen else ""

    return str(until(text, "strace has written its log"))


def calls(log: Path) -> Counter[str]:
    """How often the guard made which call."""
    text = whole(log)
    return Counter(re.findall(r"^(\w+)\(", text, re.MULTILINE))
