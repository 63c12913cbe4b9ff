"""killed_steps.py TEMPLATE FOLDER: every operation on a copy of the home TEMPLATE, killed before each statement of it.

The copy is FOLDER/OPERATION-N, where N is the statement's number from 1; the last one of each operation was not killed
before it had returned. What was done is printed: a JSON object of each operation's count.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys

from store.job_making import OPERATIONS

from raydp_wrap.store import Store

template, folder = sys.argv[1:]


def die_at(store: Store, number: int) -> None:
    connection = store._database._writer
    assert connection is not None
    seen = 0

    def trace(*_: object) -> bool:
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    connection.exec_trace = trace


counts = {}
for name, operation in OPERATIONS.items():
    number, status = 0, -1
    while status != 0:
        number += 1
        home = os.path.join(folder, f"{name}-{number}")
        shutil.copytree(template, home)
        child = os.fork()
        if child == 0:
            store = Store(home)
            die_at(store, number)
            operation(store.jobs)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL), status
    counts[name] = number
print(json.dumps(counts))
