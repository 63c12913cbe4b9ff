"""steps.py HOME: two submissions from beginning to end, each step twice if it fails; says what was acknowledged."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from store.making import ended, submission

from raydp_wrap.errors import AlreadyDecidedError, StoreError, UsageError
from raydp_wrap.store import Claimer, DeliveryStatus, Store

if TYPE_CHECKING:
    from collections.abc import Callable


def step(name: str, do: Callable[[], Any]) -> Any:
    for _ in range(2):
        try:
            result = do()
        except (AlreadyDecidedError, UsageError) as error:
            print("there", name, error, flush=True)  # the step that failed was kept after all
            return None
        except StoreError as error:
            print("failed", name, error, flush=True)
        else:
            print("done", name, flush=True)
            return result
    return None


store = step("open", lambda: Store(sys.argv[1]))
if store is not None:
    for job in ("one", "two"):
        step(f"submit {job}", lambda job=job: store.submit(submission(job)))
        claims = step(f"finish {job}", lambda job=job: store.finish(ended(job), claimer=Claimer.of_this_process()))
        for claim in claims or []:
            step(
                f"settle {job} {claim.key}",
                lambda claim=claim: store.settle(claim, DeliveryStatus.DELIVERED),
            )
    step("close", store.close)
