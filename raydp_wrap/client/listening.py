"""Callbacks: a thread that calls one for each change, in order."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.supervisor.bell import ALL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from raydp_wrap.client.access import Access
    from raydp_wrap.job import Change

__all__ = ["Listening", "changes"]


def changes(access: Access, since: int, submission_id: str | None, stop: int | None = None) -> Iterator[Change]:
    """Yield each change after number SINCE, as it comes, until STOP is readable. Raises SupervisorError, StoreError."""
    with access.watching(submission_id or ALL) as watching:
        while True:
            while found := access.jobs.changes(since, submission_id):
                for change in found:
                    since = change.seq
                    yield change
            if not watching.wait(also=stop):
                return


class Listening:
    """Calls CALLBACK for each change after number SINCE, in a thread of its own, until closed; a context manager."""

    def __init__(self, access: Access, callback: Callable[[Change], object], since: int) -> None:
        self._access = access
        self._callback = callback
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, args=(since,), name="raydp-wrap changes", daemon=True)
        self._thread.start()

    def _run(self, since: int) -> None:
        try:
            for change in changes(self._access, since, None, self._stop):
                if self._closed:
                    return
                try:
                    self._callback(change)
                except Exception as error:  # noqa: BLE001 - one change's callback must not cost the others theirs
                    self._access.tell(f"a callback failed at change {change.seq}: {error!r}")
        except RaydpWrapError as error:
            self._access.tell(f"changes are not listened to any more: {error}")

    def close(self) -> None:
        """Call it no more: when this returns the last call has ended, unless this is called in it."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.eventfd_write(self._stop, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join()
            with self._lock:
                if self._stop >= 0:
                    os.close(self._stop)
                    self._stop = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
