"""Who accompanies an attempt: what listens to its driver, or to who submits it to a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap_spark.cluster import describe
from raydp_wrap_spark.cluster.watch import cluster_watch
from raydp_wrap_spark.launcher_protocol.making import launcher_watch

if TYPE_CHECKING:
    from raydp_wrap.model import Launch, Submission
    from raydp_wrap.watch import Watch

__all__ = ["watch"]


def watch(submission: Submission, launch: Launch) -> Watch | None:
    """The watch over LAUNCH, which starts Spark; None where nothing can be learnt of it.

    Raises:
        UsageError: a setting is wrong.

    """
    submitted = cluster_watch(submission, launch)
    if submitted is not None:
        return submitted
    cluster = describe(launch)
    driver = launcher_watch(submission, launch)
    if driver is not None:
        driver.cluster = cluster
        return driver
    if cluster is None:
        return None
    from raydp_wrap_spark.cluster.yarn_watch import yarn_watch  # noqa: PLC0415 - most launches are no such ones

    return yarn_watch(launch, cluster)
