"""What may be said of a job beside its command, for type checkers: nothing of it is needed at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from raydp_wrap.client.job import Job
    from raydp_wrap.request import Dependency, Preparation, RetryPolicy

__all__ = ["Options", "RunOptions"]


class Options(TypedDict, total=False):
    """The fields of :class:`raydp_wrap.request.Request`, as they may be given. Seconds and bytes."""

    name: str
    cwd: str | os.PathLike[str] | None
    env: Mapping[str, str]
    backend: str
    sinks: Iterable[str]
    tags: Mapping[str, str]
    metadata: Mapping[str, str]
    grace: float
    stop_signal: int
    active_deadline: float | None
    attempt_deadline: float | None
    start_timeout: float | None
    retry: RetryPolicy | int
    priority: int
    cpus: float
    memory: int
    slots: Mapping[str, float]
    after: Iterable[Job | Dependency | str] | Job | Dependency | str
    preparation: Preparation | None
    ttl_after_finished: float | None
    suspend: bool
    split_output: bool
    log_limit: int | None


class RunOptions(TypedDict, total=False):
    """The fields of :class:`raydp_wrap.foreground.Policy` that a Python program can use. Seconds."""

    name: str
    grace: float
    stop_signal: int
    active_deadline: float | None
    report_timeout: float
    tags: Mapping[str, str]
