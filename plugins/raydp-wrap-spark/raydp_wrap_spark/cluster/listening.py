"""The watch over a submitter: what it became on its cluster, by what it says on stderr."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from raydp_wrap.watch import Notice, Watch

from raydp_wrap_spark.cluster.relay import Relay
from raydp_wrap_spark.cluster.scanner import STANDALONE, Scanner
from raydp_wrap_spark.cluster.watch import KIND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from raydp_wrap.model import Launch

    from raydp_wrap_spark.cluster.place import Place
    from raydp_wrap_spark.cluster.scanner import Heard, Words

__all__ = ["ClusterWatch", "SubmitterWatch"]

# Of the 5 s there are for it.
_LAST_WORDS = 4.0


class SubmitterWatch(Watch):
    """Reads a submitter's stderr on its way to TARGET, by the WORDS of its kind. ``heard`` is what it has said."""

    def __init__(self, launch: Launch, words: Words, target: int) -> None:
        self.heard: Heard | None = None
        self._scanner = Scanner(launch.argv, words)
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
        os.eventfd_write(self._news, 1)  # what is known from the start is to be saved from the start

    def fileno(self) -> int:
        """Readable when the application's name or its state has become known."""
        return self._news

    def notices(self) -> Iterable[Notice]:
        """The cluster's name for the application, and whether it runs there."""
        try:
            os.eventfd_read(self._news)
        except BlockingIOError:
            return []
        return self._learnt()

    def ended(self) -> Iterable[Notice]:
        """Hear the submitter out."""
        if self._relay.finish(_LAST_WORDS):
            self._scanner.end()
            self.heard = self._scanner.heard
        return self._learnt()

    def close(self) -> None:
        """Give the rest of the way up."""
        self._relay.close()
        os.close(self._news)

    def _see(self, piece: bytes) -> None:
        # In the relay's thread.
        if self._scanner.feed(piece):
            self.heard = self._scanner.heard
            os.eventfd_write(self._news, 1)

    def _learnt(self) -> list[Notice]:
        if self.heard is None:
            return []
        return [Notice(app_id=self.heard.app, running=self.heard.state == "RUNNING")]


class ClusterWatch(SubmitterWatch):
    """Over one who submits a driver to a standalone cluster; TARGET is as for every submitter's watch.

    What it saves: ``kind``, ``place`` (a :class:`Place`), ``timeout`` (seconds the master has to kill a driver),
    ``waits`` (the submitter was to wait for the driver's end), ``driver`` (its id, None if it isn't known), and
    ``state``, the last that the submitter was told by the master.
    """

    def __init__(self, launch: Launch, place: Place, *, timeout: float, waits: bool, target: int) -> None:
        super().__init__(launch, STANDALONE, target)
        self._place = place
        self._constant = {"kind": KIND, "timeout": timeout, "waits": waits}

    def save(self) -> Mapping[str, Any] | None:
        """See the class."""
        heard = self.heard
        place = replace(self._place, rest=heard is not None and heard.gateway == "rest")
        return {
            **self._constant,
            "place": asdict(place),
            "driver": heard.app if heard else None,
            "state": heard.state if heard else "",
        }
