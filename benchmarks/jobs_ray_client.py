"""Ray's client, in Ray's own environment: told over its stdin what to do, a JSON object a line."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

_READY = 120.0


def _clock() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def _client(address: str) -> Any:
    from ray.job_submission import JobSubmissionClient  # noqa: PLC0415 - only in Ray's environment

    deadline = time.monotonic() + _READY
    while True:
        try:
            return JobSubmissionClient(address)
        except (ConnectionError, RuntimeError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.25)


def main() -> None:
    """``submit`` an entrypoint; ``end``: look at a job, as often as it goes, until it has ended; ``stop`` one."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Ray prints
    client = _client(sys.argv[1])
    print("{}", file=answers)
    for line in sys.stdin:
        (what, of) = json.loads(line)
        began = _clock()
        if what == "submit":
            answer: dict[str, Any] = {"id": client.submit_job(entrypoint=of), "began": began, "returned": _clock()}
        elif what == "end":
            while not (status := client.get_job_status(of)).is_terminal():
                pass
            answer = {"visible": _clock(), "status": status.value}
        else:
            answer = {"stopped": client.stop_job(of)}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
