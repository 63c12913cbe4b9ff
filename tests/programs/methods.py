"""methods.py TINY: starts, waits for, signals and stops children in every way; what happened, as JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

from raydp_wrap.errors import StartError
from raydp_wrap.process import PIPE, Process, ProcessSet, _core


def main() -> None:
    tiny = sys.argv[1]
    before = sorted(os.listdir("/proc/self/fd"))
    caps = _core.capabilities()
    said = {name: getattr(caps, name) for name in ("clone_pidfd", "pidfd_open", "vfork", "close_range")}
    said["probe"] = _core.METHODS[caps.method]

    process = Process([tiny, "7"])
    said["method"] = process.method
    said["code"] = process.wait()
    waiters = []
    process = Process([tiny, "pause"])
    threads = [threading.Thread(target=lambda: waiters.append(process.wait())) for _ in range(3)]
    for thread in threads:
        thread.start()
    process.terminate()
    for thread in threads:
        thread.join()
    said["waiters"] = waiters
    process = Process([tiny, "pause"], new_session=True)
    ended = process.stop(scope="group")
    said["stopped"] = [ended.signal, ended.rung.name]

    leaky = os.open("/dev/null", os.O_RDONLY)
    os.dup2(leaky, 77, inheritable=True)
    process = Process(["ls", "/proc/self/fd"], stdout=PIPE)
    said["fds"] = sorted(int(word) for word in process.communicate()[0].split())
    os.close(leaky)
    os.close(77)

    try:
        Process(["./nowhere"])
    except StartError as error:
        said["failed"] = [error.stage, error.errno]
    with ProcessSet() as many:
        numbers = {many.spawn([tiny, str(code)]): code for code in range(5)}
        codes = {}
        while len(many):
            codes.update(dict(many.wait(10)))
        said["many"] = all(codes[number].code == code for number, code in numbers.items())
    after = sorted(os.listdir("/proc/self/fd"))
    said["leaked"] = len(after) - len(before)
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
        said["zombie"] = True
    except ChildProcessError:
        said["zombie"] = False
    said["sigchld"] = signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    print(json.dumps(said))


main()
