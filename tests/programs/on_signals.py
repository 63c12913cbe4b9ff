"""Writes a line to FILE for each signal named in its arguments, says `ready`, and ends when its stdin does.

on_signals.py FILE NAME…
"""

import os
import select
import signal
import sys

path, names = sys.argv[1], sys.argv[2:]
out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def note(number: int, _: object) -> None:
    os.write(out, f"{signal.Signals(number).name}\n".encode())


# A handler runs between two steps of the interpreter: a signal that comes on the way into a read would wait for
# its end. The wake-up pipe ends the select, whenever the signal came.
heard, wakeup = os.pipe()
os.set_blocking(wakeup, False)
signal.set_wakeup_fd(wakeup)
for name in names:
    signal.signal(getattr(signal, name), note)
print("ready", flush=True)
while 0 not in select.select([0, heard], [], [])[0]:
    os.read(heard, 100)
sys.stdin.read()  # a terminal's Ctrl-D, above all: it would be the shell's
os._exit(0)  # a Python that ends in the usual way drops its handlers first, and dies of what comes then
