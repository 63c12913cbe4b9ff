"""Where an application's cluster is, in a form that outlives its owner: JSON values, no secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raydp_wrap_spark.cluster.submitted import submitted
from raydp_wrap_spark.settings import cluster_timeout

if TYPE_CHECKING:
    from raydp_wrap.model import Launch

__all__ = ["describe"]


def describe(launch: Launch) -> dict[str, Any] | None:
    """Return what :mod:`raydp_wrap_spark.cluster.judging` needs to find LAUNCH's application again, beside its app id.

    None where no cluster has more to say than the driver's own end. A standalone master is such a one in client
    mode: it calls FINISHED whatever driver has left it.

    Raises:
        UsageError: ``cluster.timeout`` is no duration.

    """
    what = submitted(launch)
    if what is None or what.master.partition("-")[0] != "yarn":
        return None
    from raydp_wrap_spark.cluster.hadoop import resource_manager  # noqa: PLC0415 - for YARN only

    mode = "cluster" if what.deploy_mode == "cluster" or what.master == "yarn-cluster" else "client"
    return {
        "manager": "yarn",
        "mode": mode,
        "timeout": cluster_timeout(what.env, launch.settings),
        **resource_manager(what),
    }
