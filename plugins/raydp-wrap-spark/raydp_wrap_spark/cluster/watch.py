"""Which launches are submissions to a standalone cluster, whose drivers run elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap_spark.cluster.driver_states import PREFIX
from raydp_wrap_spark.cluster.submitted import submitted
from raydp_wrap_spark.settings import cluster_timeout

if TYPE_CHECKING:
    from raydp_wrap.model import Launch, Submission

    from raydp_wrap_spark.cluster.listening import ClusterWatch

__all__ = ["KIND", "YARN_KIND", "cluster_watch"]

KIND = "standalone-cluster"
YARN_KIND = "yarn"
_STDERR = 2


def cluster_watch(submission: Submission, launch: Launch) -> ClusterWatch | None:
    """Return what accompanies LAUNCH; None unless it submits a driver to a standalone cluster.

    Raises:
        UsageError: ``cluster.timeout`` is no duration.

    """
    what = submitted(launch)
    if what is None or what.deploy_mode != "cluster" or not what.master.startswith(PREFIX):
        return None
    from raydp_wrap_spark.cluster.listening import ClusterWatch  # noqa: PLC0415 - most launches are no such ones
    from raydp_wrap_spark.cluster.master_confs import keep, plain_and_secret  # noqa: PLC0415 - the same
    from raydp_wrap_spark.cluster.place import place_of  # noqa: PLC0415 - the same

    timeout = cluster_timeout(what.env, launch.settings)
    keep(submission.submission_id, plain_and_secret(what.options.confs)[1])
    target = _STDERR if launch.stderr is None else launch.stderr
    waits = what.flag("spark.standalone.submit.waitAppCompletion", default=False)
    return ClusterWatch(launch, place_of(what, launch), timeout=timeout, waits=waits, target=target)
