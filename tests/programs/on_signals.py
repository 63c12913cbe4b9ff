"""Writes a line to FILE for each signal named in its arguments, says `ready`, and ends when its stdin does.

on_signals.py FILE NAME…
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
os._exit(0)  # a Python that ends in the usual way drops its handlers first, and dies of what comes then
