"""What the plugin knows of an attempt's end, and its part of a stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raydp_wrap_spark.exit_codes import evidence_of_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from raydp_wrap.model import Evidence, ExitRecord, Submission

__all__ = ["evidence", "stop_remote"]


def evidence(submission: Submission, record: ExitRecord, saved: Mapping[str, Any]) -> Iterator[Evidence]:
    """What the launcher's connection, the cluster and Spark's exit codes say; SAVED is what our watch has saved."""
    if not saved:
        return
    from raydp_wrap_spark.cluster.judging import evidence as of_the_cluster  # noqa: PLC0415 - a run may have no watch
    from raydp_wrap_spark.launcher_protocol.judging import evidence as of_the_launcher  # noqa: PLC0415 - the same
    from raydp_wrap_spark.launcher_protocol.watch import KIND  # noqa: PLC0415 - the same

    if saved.get("kind") == KIND:
        yield from of_the_launcher(submission, record, saved)
    yield from of_the_cluster(submission, record, saved)
    yield from evidence_of_code(record)


def stop_remote(submission: Submission, record: ExitRecord | None, saved: Mapping[str, Any]) -> None:
    """Have the cluster end what it runs of the attempt.

    Raises:
        RaydpWrapError: it may still run.

    """
    if not saved:
        return
    from raydp_wrap_spark.cluster.judging import stop_remote as on_the_cluster  # noqa: PLC0415 - a run may have no watch

    on_the_cluster(submission, record, saved)
