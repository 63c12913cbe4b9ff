"""Owns one guarded job, as told by the JSON in argv[1], to be killed or to leave in its own way.

{"argv": [...], "env": {...}, "start": {keyword arguments of Guard.start}, "then": [steps]}. Each step waits for a
line on stdin first, except a first "now". Every step says one JSON line on stdout. A file named as "lock" is locked,
and held ("locks" times).
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time

from raydp_wrap.model import Launch
from raydp_wrap.process import Guard, _core


def say(**what: object) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def main() -> None:  # noqa: C901, PLR0912 - one branch a step
    plan = json.loads(sys.argv[1])
    if "uid" in plan:
        os.setgid(plan["uid"])
        os.setuid(plan["uid"])
    if "before" in plan:
        _core.capabilities()  # probed once: what is to be met is the start itself
        say(before=True)
        sys.stdin.readline()
    null = os.open(os.devnull, os.O_RDWR)
    options = {"stdin": null, "stdout": null, "stderr": null, **plan.get("start", {})}
    if "lock" in plan:
        lock = os.open(plan["lock"], os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        options["hold"] = [lock] * plan.get("locks", 1)
    guard = Guard.start(Launch(argv=tuple(plan["argv"]), env=plan.get("env")), **options)
    say(guard=guard.guard_pid, driver=guard.pid, cgroup=os.path.join(*(guard._cgroup or ("",))))
    for step in plan.get("then", []):
        if step != "now":
            sys.stdin.readline()
        if step == "exit":
            sys.exit(0)
        elif step == "_exit":
            os._exit(0)
        elif step == "exec":
            os.execv("/bin/sleep", ["sleep", "60"])
        elif step == "drop":
            os.close(guard.fileno())
        elif step == "close":
            guard.close()
            say(closed=True)
        elif step == "hold":
            if os.fork() == 0:  # a child that keeps every descriptor of ours open
                say(holder=os.getpid())
                time.sleep(60)
                os._exit(0)
        elif step == "stop":
            guard.stop(label="owner")
        elif step == "ask":
            guard.stop(delay=3600, label="owner")
            say(asked=True)
        elif step == "wait":
            record = guard.wait()
            driver = record.driver
            say(
                cause=record.cause.name,
                code=driver.code if driver else None,
                signal=driver.signal if driver else None,
                tree_empty=record.tree_empty,
                survivors=list(record.survivors),
                not_durable=record.not_durable,
                oom_kills=record.oom_kills,
            )
        elif step == "read":
            told = guard.read()
            say(news=told.news.name if told else None, survivors=list(told.survivors) if told else [])
        elif step == "note":
            guard.note_signal(2)
            say(noted=True)
        elif step == "done":
            guard.done()
            say(done=True)
    time.sleep(60)


main()
