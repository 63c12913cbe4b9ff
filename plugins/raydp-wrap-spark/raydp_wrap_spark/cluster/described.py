"""Where an application's cluster is, in a form that outlives its owner: JSON values, no secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import UsageError
from raydp_wrap.settings import duration, setting

from raydp_wrap_spark.cluster.submitted import submitted

if TYPE_CHECKING:
    from raydp_wrap.model import Launch

    from raydp_wrap_spark.cluster.submitted import Submitted

__all__ = ["describe", "timeout_of"]

_TIMEOUT = 15.0
# The hook that ends what runs elsewhere has 30 s.
_LONGEST = 25.0


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
    return {"manager": "yarn", "mode": mode, "timeout": timeout_of(launch, what), **resource_manager(what)}


def timeout_of(launch: Launch, what: Submitted) -> float:
    """Return how many seconds the cluster has to end an application, by ``cluster.timeout``.

    Raises:
        UsageError: it is no duration.

    """
    found = setting("cluster.timeout", what.env, launch.settings)
    if found is None:
        return _TIMEOUT
    try:
        return min(duration(found[0]), _LONGEST)
    except UsageError as error:
        raise UsageError(f"{found[1]}: {error}") from error
