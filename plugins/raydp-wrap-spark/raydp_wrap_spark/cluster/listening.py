"""The watch over a submitter: which driver of a standalone cluster it became, by what it says on stderr."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from raydp_wrap.watch import Notice, Watch

from raydp_wrap_spark.cluster.relay import Relay
from raydp_wrap_spark.cluster.scanner import Scanner
from raydp_wrap_spark.cluster.watch import KIND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from raydp_wrap.model import Launch

    from raydp_wrap_spark.cluster.place import Place
    from raydp_wrap_spark.cluster.scanner import Heard

__all__ = ["ClusterWatch"]

# Of the 5 s there are for it.
_LAST_WORDS = 4.0


class ClusterWatch(Watch):
    """Reads the submitter's stderr on its way to TARGET.

    What it saves: ``kind``, ``place`` (a :class:`Place`), ``timeout`` (seconds the master has to kill a driver),
    ``waits`` (the submitter was to wait for the driver's end), ``driver`` (its id, None if it isn't known), and
    ``state``, the last that the submitter was told by the master.
    """

    def __init__(self, launch: Launch, place: Place, *, timeout: float, waits: bool, target: int) -> None:
        self._place = place
        self._constant = {"kind": KIND, "timeout": timeout, "waits": waits}
        self._scanner = Scanner(launch.argv)
        self._heard: Heard | None = None
        self._news = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._relay = Relay(target, self._see)
        self._launch = replace(launch, stderr=self._relay.write_end)

    @property
    def launch(self) -> Launch:
        """The same, saying what it says on stderr to us."""
        return self._launch

    def started(self, driver_pid: int) -> None:  # noqa: ARG002 - the contract's
        """Leave the driver the only one who writes."""
        self._relay.started()

    def fileno(self) -> int:
        """Readable when the driver's id or its state has become known."""
        return self._news

    def notices(self) -> Iterable[Notice]:
        """The driver's id is the cluster's name for the application."""
        try:
            os.eventfd_read(self._news)
        except BlockingIOError:
            return []
        return self._learnt()

    def ended(self) -> Iterable[Notice]:
        """Hear the submitter out."""
        if self._relay.finish(_LAST_WORDS):
            self._scanner.end()
            self._heard = self._scanner.heard
        return self._learnt()

    def save(self) -> Mapping[str, Any] | None:
        """See the class."""
        heard = self._heard
        place = replace(self._place, rest=heard is not None and heard.gateway == "rest")
        return {
            **self._constant,
            "place": asdict(place),
            "driver": heard.driver if heard else None,
            "state": heard.state if heard else "",
        }

    def close(self) -> None:
        """Give the rest of the way up."""
        self._relay.close()
        os.close(self._news)

    def _see(self, piece: bytes) -> None:
        # In the relay's thread.
        if self._scanner.feed(piece):
            self._heard = self._scanner.heard
            os.eventfd_write(self._news, 1)

    def _learnt(self) -> list[Notice]:
        if self._heard is None:
            return []
        return [Notice(app_id=self._heard.driver, running=self._heard.state == "RUNNING")]
