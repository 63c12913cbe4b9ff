"""racer.py HOME ID THREADS: that many threads finish one submission at once, each with an outcome of its own."""

from __future__ import annotations

import json
import os
import sys
import threading

from store.making import ended

from raydp_wrap.errors import AlreadyDecidedError
from raydp_wrap.model import TerminalState
from raydp_wrap.store import Store

home, submission_id, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
states = [TerminalState.FINISHED, TerminalState.FAILED, TerminalState.KILLED]
start = threading.Barrier(threads + 1)
said: list[dict[str, object]] = []


def race(number: int) -> None:
    mine = f"{os.getpid()}-{number}"
    start.wait()
    try:
        store.finish(ended(submission_id, states[number % 3], mine))
    except AlreadyDecidedError as error:
        stands = error.outcome.diagnostics if error.outcome else None
        said.append({"mine": mine, "won": False, "stands": stands})
    else:
        said.append({"mine": mine, "won": True, "stands": mine})


with Store(home, timeout=60) as store:
    running = [threading.Thread(target=race, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    print("ready", flush=True)
    sys.stdin.readline()
    start.wait()
    for thread in running:
        thread.join()
print(json.dumps(said))
