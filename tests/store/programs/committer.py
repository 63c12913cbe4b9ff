"""committer.py NAME THREADS: for each home on stdin, submit, finish and settle until something fails.

A line is written when a step has been acknowledged, with one write each: "submitted ID", "finished ID",
"delivered ID", at last "failed SENTENCE" for each thread and "closed".
"""

from __future__ import annotations

import os
import sys
import threading

from store.making import ended, submission

from raydp_wrap.errors import StoreError
from raydp_wrap.store import Claimer, DeliveryStatus, Store

name, threads = sys.argv[1], int(sys.argv[2])
claimer = Claimer.of_this_process()


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def commit(store: Store, life: int, thread: int) -> None:
    number = 0
    try:
        while True:
            submission_id = f"{name}-{life}-{thread}-{number}"
            store.submit(submission(submission_id))
            say(f"submitted {submission_id}")
            first, _ = store.finish(ended(submission_id, diagnostics=submission_id), claimer=claimer)
            say(f"finished {submission_id}")
            store.settle(first, DeliveryStatus.DELIVERED)
            say(f"delivered {submission_id}")
            number += 1
    except StoreError as error:
        say(f"failed {error}")


for life, line in enumerate(sys.stdin):
    try:
        with Store(line.strip()) as store:
            running = [threading.Thread(target=commit, args=(store, life, thread)) for thread in range(threads)]
            for one in running:
                one.start()
            for one in running:
                one.join()
    except StoreError as error:
        say(f"failed {error}")
    say("closed")
