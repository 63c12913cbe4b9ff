"""Counts the signals named in its arguments, says `ready`, and tells the counts when its stdin ends or TERM comes.

    on_signals.py COUNTS_FILE NAME…

Each signal also writes a line to COUNTS_FILE at once, so that a test can wait for it.
"""

import os
import signal
import sys

path, names = sys.argv[1], sys.argv[2:]
out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def note(number: int, _: object) -> None:
    os.write(out, f"{signal.Signals(number).name}\n".encode())


for name in names:
    signal.signal(getattr(signal, name), note)
print("ready", flush=True)
sys.stdin.read()
