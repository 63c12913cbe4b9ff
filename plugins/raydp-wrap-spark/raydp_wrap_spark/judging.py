"""What the plugin knows of an attempt's end, and its part of a stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raydp_wrap_spark.cluster import judging as cluster
from raydp_wrap_spark.exit_codes import evidence_of_code
from raydp_wrap_spark.launcher_protocol import judging as launcher
from raydp_wrap_spark.launcher_protocol.watch import KIND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from raydp_wrap.model import Evidence, ExitRecord, Submission

__all__ = ["evidence", "stop_remote"]


def evidence(submission: Submission, record: ExitRecord, saved: Mapping[str, Any]) -> Iterator[Evidence]:
    """What the launcher's connection, the cluster and Spark's exit codes say; SAVED is what our watch has saved."""
    if saved.get("kind") == KIND:
        yield from launcher.evidence(submission, record, saved)
    yield from cluster.evidence(submission, record, saved)
    yield from evidence_of_code(record)


def stop_remote(submission: Submission, record: ExitRecord | None, saved: Mapping[str, Any]) -> None:
    """Have the cluster end what it runs of the attempt.

    Raises:
        RaydpWrapError: it may still run.

    """
    cluster.stop_remote(submission, record, saved)
