"""Other people's code: called with a time limit, its stdout put aside, and whatever it raises brought back."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from raydp_wrap.plugins.words import said

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Called", "abandoned", "call"]

T = TypeVar("T")

# Those that an owner may wait for. Not all there are: to have Python name them costs more than the thread.
_AWAITED = frozenset(
    (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGCHLD,
        signal.SIGCONT,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGWINCH,
    )
)

_threads: set[int] = set()  # those that run other people's code now
_lost: list[threading.Thread] = []
_lock = threading.Lock()


class Called(Generic[T]):
    """What came of a call: ``value``; or ``error``, whatever was raised, and what it ``says``; or it ``hangs``."""

    __slots__ = ("error", "hangs", "says", "value")

    def __init__(self) -> None:
        self.value: T | None = None
        self.error: BaseException | None = None
        self.says = ""
        self.hangs = True


def call(function: Callable[[], T], seconds: float) -> Called[T]:
    """Call FUNCTION, and wait SECONDS for it at most.

    It runs in a daemon thread of its own, which is left to itself when the time is up. (Code that hangs in C
    and holds the interpreter's lock can't be left by anybody.) What it prints goes to stderr.
    """
    called: Called[T] = Called()

    def work() -> None:
        _begin()
        try:
            called.value = function()
        except BaseException as error:  # noqa: BLE001 - SystemExit too: nothing of it may end us
            called.says = said(error)  # here, for that is their code too
            called.error = error
        finally:
            _end()
        called.hangs = False

    thread = threading.Thread(target=work, name="raydp-wrap plugin", daemon=True)
    # The owner of a job waits for signals with all its threads' masks: one thread that doesn't block them
    # would take a SIGTERM, and end the process. Threads inherit their maker's mask.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    try:
        try:
            thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    except RuntimeError:  # no more threads to be had: better without a limit than not at all
        work()
        return called
    thread.join(seconds)
    if called.hangs:
        _lost.append(thread)
    return called


def abandoned() -> bool:
    """Whether a call that was given up still runs: it can hold up, or spoil, the interpreter's own end."""
    return any(thread.is_alive() for thread in _lost)


def _begin() -> None:
    with _lock:
        _threads.add(threading.get_ident())
        if sys.stdout is not None and not isinstance(sys.stdout, _Stdout):
            sys.stdout = _Stdout(sys.stdout)


def _end() -> None:
    with _lock:
        _threads.discard(threading.get_ident())
        if not _threads and isinstance(sys.stdout, _Stdout):
            sys.stdout = sys.stdout.real


def _after_fork() -> None:
    """In the child there is no thread but this one; another may have held the lock."""
    global _lock  # noqa: PLW0603 - the same lock for all
    _lock = threading.Lock()
    _threads.intersection_update((threading.get_ident(),))
    _lost.clear()


os.register_at_fork(after_in_child=_after_fork)


class _Stdout:
    """sys.stdout while other people's code runs: theirs is stderr, everybody else's is as before."""

    def __init__(self, real: object) -> None:
        self.real = real

    def __getattr__(self, name: str) -> object:
        if threading.get_ident() not in _threads:
            return getattr(self.real, name)
        return getattr(sys.stderr if sys.stderr is not None else io.StringIO(), name)
