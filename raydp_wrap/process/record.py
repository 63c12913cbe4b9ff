"""The exit record: what a guard says of a job's end, from its datagram or its file."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

from raydp_wrap._native import ffi, lib
from raydp_wrap.errors import RecordError
from raydp_wrap.model import Cause, Exit, ExitRecord, Rung, Stop, Usage

if TYPE_CHECKING:
    from pathlib import Path

MAX_SIZE = 64 * 1024
SIGNALS = range(1, 65)

_CAUSES = {
    lib.RD_CAUSE_NONE: Cause.NONE,
    lib.RD_CAUSE_REQUEST: Cause.REQUEST,
    lib.RD_CAUSE_SIGNAL: Cause.SIGNAL,
    lib.RD_CAUSE_OWNER_DIED: Cause.OWNER_DIED,
    lib.RD_CAUSE_ACTIVE_DEADLINE: Cause.ACTIVE_DEADLINE,
    lib.RD_CAUSE_START_DEADLINE: Cause.START_DEADLINE,
    lib.RD_CAUSE_GUARD_ERROR: Cause.GUARD_ERROR,
    lib.RD_CAUSE_EXIT_FORCED: Cause.EXIT_FORCED,
}


def cause_of(number: int) -> Cause:
    """The guard's number as a model. Raises ValueError for a number this version doesn't know."""
    try:
        return _CAUSES[number]
    except KeyError:
        raise ValueError(f"unknown cause {number}") from None


def _usage(raw: dict[str, int]) -> Usage:
    return Usage(
        user_seconds=raw["user_us"] / 1e6,
        system_seconds=raw["system_us"] / 1e6,
        max_rss=raw["max_rss_kib"] * 1024,
        minor_faults=raw["minor_faults"],
        major_faults=raw["major_faults"],
        blocks_in=raw["blocks_in"],
        blocks_out=raw["blocks_out"],
        switches_voluntary=raw["switches_voluntary"],
        switches_forced=raw["switches_forced"],
    )


def _build(raw: dict[str, Any], **more: Any) -> ExitRecord:
    driver = None
    if raw["driver_waited"]:
        signal = raw["signal"] or None
        driver = Exit(
            code=None if signal else raw["code"],
            signal=signal,
            core_dumped=bool(raw["core_dumped"]),
            usage=_usage(raw["rusage"]),
            rung=Rung(raw["rung"]),
        )
    stop = None
    if raw["cause"]:
        stop = Stop(raw["stop_signal"], raw["stop_pid"], raw["stop_uid"], raw["stop_wall_ns"] / 1e9, raw["stop_label"])
    return ExitRecord(
        identity=raw["id"],
        guard_pid=raw["guard_pid"],
        driver_pid=raw["driver_pid"],
        driver=driver,
        cause=cause_of(raw["cause"]),
        stop=stop,
        started_at=raw["started_wall_ns"] / 1e9,
        ended_at=raw["ended_wall_ns"] / 1e9,
        duration=raw["duration_ns"] / 1e9,
        tree_usage=_usage(raw["tree_rusage"]),
        tree_empty=bool(raw["tree_empty"]),
        swept_term=raw["swept_term"],
        swept_kill=raw["swept_kill"],
        cgroup=bool(raw["cgroup"]),
        oom_kills=None if raw["oom_kills"] < 0 else raw["oom_kills"],
        survivors=tuple(raw["survivor_pids"]),
        guard_errno=raw["guard_errno"],
        passed_on=tuple(raw["passed_on"]),
        **more,
    )


def _usage_dict(raw: Any) -> dict[str, int]:
    return {name: getattr(raw, name) for name in _USAGE_INTEGERS}


def from_tell(tell: Any, identity: str) -> ExitRecord:
    """The record in an ``rd_guard_tell`` of type ENDED."""
    raw = tell.record
    fields = {
        name: getattr(raw, name)
        for name in (
            "guard_pid", "driver_pid", "driver_waited", "cause", "stop_signal", "stop_pid", "stop_uid",
            "stop_wall_ns", "started_wall_ns", "ended_wall_ns", "duration_ns", "tree_empty", "swept_term",
            "swept_kill", "cgroup", "oom_kills", "guard_errno",
        )
    }  # fmt: skip
    fields.update(
        id=identity,
        code=raw.driver.code,
        signal=raw.driver.signal,
        core_dumped=raw.driver.core_dumped,
        rung=raw.driver.rung,
        rusage=_usage_dict(raw.driver),
        tree_rusage=_usage_dict(raw.tree),
        stop_label=ffi.string(raw.stop_label).decode("utf-8", "replace"),
        survivor_pids=list(raw.survivor_pid)[: max(0, min(8, raw.survivors))],
        passed_on=[number for number in SIGNALS if raw.passed_on >> (number - 1) & 1],
    )
    return _build(fields, not_durable=tell.record_errno, retried=tell.record_retried)


_INTEGERS = (
    "guard_pid", "driver_pid", "driver_waited", "code", "signal", "core_dumped", "rung", "cause", "stop_signal",
    "stop_pid", "stop_uid", "stop_wall_ns", "started_wall_ns", "ended_wall_ns", "duration_ns", "tree_empty",
    "swept_term", "swept_kill", "cgroup", "oom_kills", "survivors", "guard_errno",
)  # fmt: skip
_USAGE_INTEGERS = tuple(name for name, kind in ffi.typeof("rd_exit").fields if kind.type.cname == "int64_t")


def _demand(raw: object, strings: tuple[str, ...], integers: tuple[str, ...]) -> dict[str, Any]:
    """RAW, if it is an object with these members; anything else is not what a guard writes."""
    if not isinstance(raw, dict):
        raise TypeError
    for name in strings:
        if type(raw[name]) is not str:
            raise TypeError(name)
    for name in integers:
        if type(raw[name]) is not int or not -(2**63) <= raw[name] < 2**63:
            raise TypeError(name)
    return raw


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def parse(data: bytes, where: str = "the exit record") -> ExitRecord:
    """The record in a file's bytes.

    Raises:
        RecordError: truncated, not a record, or of a newer version.

    """
    try:
        raw = _demand(json.loads(data, parse_constant=_refuse_constant), (), ("schema",))
        if raw["schema"] > lib.RD_GUARD_VERSION:
            raise RecordError(f"{where} is of version {raw['schema']}, which a newer raydp-wrap wrote: use that one.")
        _demand(raw, ("id", "stop_label"), ("schema", *_INTEGERS))
        for name in ("rusage", "tree_rusage"):
            _demand(raw[name], (), _USAGE_INTEGERS)
        if type(raw["survivor_pids"]) is not list or any(type(pid) is not int for pid in raw["survivor_pids"]):
            raise TypeError  # noqa: TRY301 - one place says what is wrong
        raw.setdefault("passed_on", [])  # a member that came later
        if type(raw["passed_on"]) is not list or any(type(n) is not int or n not in SIGNALS for n in raw["passed_on"]):
            raise TypeError  # noqa: TRY301 - one place says what is wrong
        return _build(raw)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordError(f"{where} is no exit record, or a damaged one; it is left as it is.") from error


def read(path: Path) -> ExitRecord | None:
    """The record at PATH, or None if there is none. A symlink, FIFO or oversized file is refused.

    Raises:
        RecordError: there is something else at PATH, or it is damaged.

    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RecordError(f"{path} is a symbolic link, not an exit record; it is left as it is.") from error
        raise RecordError(f"{path} can't be read: {error.strerror}") from error
    try:
        import stat  # noqa: PLC0415 - only a repair reads records

        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise RecordError(f"{path} is not a regular file; it is left as it is.")
        data = b""
        while len(data) <= MAX_SIZE and (chunk := os.read(fd, MAX_SIZE + 1 - len(data))):
            data += chunk
    except OSError as error:
        raise RecordError(f"{path} can't be read: {error.strerror}") from error
    finally:
        os.close(fd)
    if len(data) > MAX_SIZE:
        raise RecordError(f"{path} is larger than any exit record; it is left as it is.")
    return parse(data, str(path))


def sync_name(path: Path) -> int:
    """Make the name of the record at PATH last, as its guard does at the end; 0, or the errno of the failure."""
    try:
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        return error.errno or errno.EIO
    return 0
