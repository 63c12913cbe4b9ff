"""Forgetting a job that has ended: its output, then what the store knows."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.store.asking import no_longer

if TYPE_CHECKING:
    from raydp_wrap.client.access import Access
    from raydp_wrap.job import Job as Status

__all__ = ["delete"]


def delete(access: Access, submission_id: str, *, force: bool) -> None:
    """Forget it, its output first: should we die between the two, it can be deleted again.

    Raises:
        UsageError: it has to be kept, and its output is, too.
        RaydpWrapError: its output can't be removed now.

    """
    status = access.status(submission_id)
    untold = not force and any(one.submission_id == submission_id for one in access.store.undelivered())
    why = no_longer(status, waiting=list(access.jobs.waiting_for(submission_id)), untold=untold)
    if why is not None:
        raise why
    failed: list[BaseException] = []
    # In a thread: our caller may be in an event loop, and backends want one of their own.
    clearing = threading.Thread(target=_clear, args=(access, status, failed))
    clearing.start()
    clearing.join()
    if failed:
        raise RaydpWrapError(f"the output of {submission_id} can't be removed: {failed[0]}") from failed[0]
    access.jobs.delete(submission_id, force=force)


def _clear(access: Access, status: Status, failed: list[BaseException]) -> None:
    import asyncio  # noqa: PLC0415 - only who deletes

    from raydp_wrap.supervisor.at_home import AtHome  # noqa: PLC0415 - the same

    async def clear() -> None:
        await AtHome(access.store, access.home, access.tell).discard(status)

    try:
        asyncio.run(clear())
    except Exception as error:  # noqa: BLE001 - raised where it is waited for
        failed.append(error)
