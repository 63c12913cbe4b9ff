"""The watches over attempts on YARN whose driver has no connection to us."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from raydp_wrap.watch import Notice, Watch

from raydp_wrap_spark.cluster.listening import SubmitterWatch
from raydp_wrap_spark.cluster.scanner import YARN
from raydp_wrap_spark.cluster.watch import YARN_KIND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from raydp_wrap.model import Launch

__all__ = ["UnheardWatch", "YarnWatch", "yarn_watch"]

_STDERR = 2


def yarn_watch(launch: Launch, cluster: Mapping[str, Any]) -> Watch:
    """Return what accompanies LAUNCH, which starts an application on CLUSTER, as ``describe`` has it.

    In client mode stderr is the driver's own, and stays the user's, terminal and all.
    """
    if cluster.get("mode") != "cluster":
        return UnheardWatch(launch, cluster)
    return YarnWatch(launch, cluster, _STDERR if launch.stderr is None else launch.stderr)


class YarnWatch(SubmitterWatch):
    """Over one who submits an application in cluster mode. It saves ``kind``, ``cluster`` and ``app_id``."""

    def __init__(self, launch: Launch, cluster: Mapping[str, Any], target: int) -> None:
        super().__init__(launch, YARN, target)
        self._cluster = cluster

    def save(self) -> Mapping[str, Any]:
        """See the class."""
        heard = self.heard
        return {"kind": YARN_KIND, "cluster": self._cluster, "app_id": heard.app if heard else None}


class UnheardWatch(Watch):
    """Over a driver that nobody listens to: it only says which cluster there is. It saves as YarnWatch does."""

    def __init__(self, launch: Launch, cluster: Mapping[str, Any]) -> None:
        self._launch = launch
        self._cluster = cluster
        self._once = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    @property
    def launch(self) -> Launch:
        """The same."""
        return self._launch

    def fileno(self) -> int:
        """Readable once, so that what is known is saved."""
        return self._once

    def notices(self) -> Iterable[Notice]:
        """Nothing."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._once)
        return ()

    def save(self) -> Mapping[str, Any]:
        """See the class."""
        return {"kind": YARN_KIND, "cluster": self._cluster, "app_id": None}

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self._once)
