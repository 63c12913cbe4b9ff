"""What is shown of a job, as short text: pure, and safe on a terminal."""

from __future__ import annotations

import shlex
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from raydp_wrap.diagnostics import redact
from raydp_wrap.diagnostics.text import one_line, shorten
from raydp_wrap.outcome import signal_name
from raydp_wrap.outcome.document import showable
from raydp_wrap.request import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap.job import Job
    from raydp_wrap.request import Request

__all__ = [
    "age",
    "attempts",
    "clock",
    "command",
    "command_line",
    "elapsed",
    "ending",
    "labels",
    "length",
    "room",
    "shown",
]

_LONGEST = 300
_NOTHING = "-"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KIB = 1024


def shown(text: str, limit: int = _LONGEST) -> str:
    """TEXT as one line that a terminal shows and does not obey, its middle left out where it is long."""
    return one_line(shorten(text, limit))


def length(seconds: float) -> str:
    """SECONDS as 0.4s, 12s, 3m05s, 2h03m or 4d02h."""
    if seconds < 1:
        return f"{max(0.0, seconds):.1f}s"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02}h"


def clock(at: float | None) -> str:
    """AT (seconds since the epoch) in UTC, to the second."""
    if at is None or not showable(at):
        return _NOTHING
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def room(size: float) -> str:
    """SIZE bytes as 512 B, 34.2 MiB and the like."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < _KIB:
            return f"{size:.4g} {unit}"
        size /= _KIB
    return f"{size:.4g} TiB"


def age(status: Job, now: float) -> str:
    """Since its submission."""
    return length(now - status.submission.created_at)


def elapsed(status: Job, now: float) -> str:
    """How long its last attempt has run by NOW."""
    if status.active:
        return _NOTHING if status.attempt_at is None else length(now - status.attempt_at)
    if status.started_at is None or status.ended_at is None:
        return _NOTHING
    return length(status.ended_at - status.started_at)


def attempts(status: Job) -> str:
    """How many there were, of how many there may be; those that are not counted come on top."""
    most = status.request.retry.limit + 1 + status.ignored + status.suspended
    return f"{status.attempt}/{most}"


def ending(status: Job) -> str:
    """The exit code, or the signal's name, of the last attempt that ended, while none runs."""
    if status.active or status.phase in (Phase.PENDING, Phase.SUSPENDED):
        return _NOTHING
    if status.signal is not None:
        return signal_name(status.signal)
    return _NOTHING if status.exit_code is None else str(status.exit_code)


def labels(tags: Mapping[str, str]) -> str:
    """Tags as NAME=VALUE."""
    return shown(",".join(f"{name}={value}" for name, value in tags.items())) or _NOTHING


def command_line(request: Request) -> str:
    """The whole command line without its secrets, for programs."""
    return redact(request.argv[0] if request.shell else shlex.join(request.argv))


def command(request: Request) -> str:
    """The same for people."""
    return shown(command_line(request))
