"""What every face does first and last: the command's world stays as it was found, and errors are sentences."""

from __future__ import annotations

import atexit
import contextlib
import os
import resource
import select
import signal
import sys
from typing import TYPE_CHECKING

from raydp_wrap.cli.messages import explain, report_error, say
from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.model import Reason, TerminalState
from raydp_wrap.outcome import exit_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from raydp_wrap.model import Outcome

__all__ = ["enter", "hold_signals", "leave", "release_if_blocked"]

_LATE = frozenset((signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2))
# What plugins registered to be done at the end may take this long, in seconds.
_EXIT_LIMIT = 5.0
_SIGNAL_BASE = 128
_COERCED = frozenset(("C.UTF-8", "C.utf8", "UTF-8"))


def enter(face: Callable[[], int], *, last: bool = False) -> int:
    """Run FACE, and return the exit code of the process.

    LAST: nothing comes after it but the process's end, and that is made here.
    """
    code = _entered(face)
    if last:
        _end(code)
    return code


def _end(code: int) -> None:
    """End the process, or return to have the interpreter tell what can't be written.

    Without taking the interpreter apart, module by module: that costs a tenth of a short run. And a plugin's
    thread that hangs, or prints for ever, would hold it up or abort it.
    """
    plugins = sys.modules.get("raydp_wrap.plugins")
    try:
        if plugins is not None and plugins.in_use():
            plugins.call(atexit._run_exitfuncs, _EXIT_LIMIT)  # noqa: SLF001 - the only way to it
        else:
            atexit._run_exitfuncs()  # noqa: SLF001 - the same
        if sys.stdout is not None:
            sys.stdout.flush()
        if sys.stderr is not None and not (plugins is not None and plugins.abandoned()):
            sys.stderr.flush()
    except Exception:  # noqa: BLE001 - whatever it is
        return
    os._exit(code)


def _entered(face: Callable[[], int]) -> int:
    # Ctrl-C before a command runs, or after it ended, ends us as it ends any program: by the signal.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    _undo_locale_coercion()
    try:
        return face()
    except RaydpWrapError as error:
        return report_error(error)
    except OSError as error:
        about = f"{error.filename}: " if error.filename is not None else ""
        say(f"{about}{error.strerror or error}")
    except Exception:  # noqa: BLE001 - a bug of ours must not look like the command's own failure
        import traceback  # noqa: PLC0415 - for this only

        with contextlib.suppress(Exception):
            traceback.print_exc()
    return RaydpWrapError.exit_code


def hold_signals() -> None:
    """From here on only the outcome decides the exit code: a signal too late for the job must not end us instead.

    Ctrl-C is left as it is, for the shell that waits for us wants to know of it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _LATE)


def release_if_blocked(fd: int) -> None:
    """Where FD can't be written to at once, let the signals that were held end us: nothing else could."""
    try:
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        if poll.poll(0):
            return
    except OSError:
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _LATE)


def leave(outcome: Outcome, tell: Callable[[Outcome], None] = explain, *, alike: bool = False) -> int:
    """Say what needs saying of OUTCOME, by TELL; the exit code.

    A command that Ctrl-C ended is followed by the same signal: a shell goes on with its loop or script after
    a plain exit with 130, and stops only when it sees that its child died of SIGINT. ALIKE: any signal that ended
    the command ends us, so that our caller sees what it would have seen of the command itself.
    """
    release_if_blocked(2)
    tell(outcome)
    asked_for = any(evidence.source == "stop" for evidence in outcome.evidence)
    if outcome.state is TerminalState.KILLED and outcome.signal == signal.SIGINT and not asked_for:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        os.kill(os.getpid(), signal.SIGINT)  # process 1 survives this: the code has to do
    status = exit_status(outcome)
    if alike and outcome.signal is not None and status == _SIGNAL_BASE + outcome.signal and not _was_ours(outcome):
        _die_of(outcome.signal)
    return status


def _was_ours(outcome: Outcome) -> bool:
    """Whether it was us who ended the command by the signal: that is nobody's to see."""
    return outcome.reason is Reason.EXIT_FORCED or (
        outcome.reason is Reason.STOP_REQUESTED and outcome.signal == signal.SIGKILL
    )


def _die_of(number: int) -> None:
    """End by signal NUMBER, without a core dump. Returns where that can't be: process 1 survives most of them."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)


def _undo_locale_coercion() -> None:
    """Take back the LC_CTYPE that Python sets for itself in the C locale (PEP 538)."""
    if os.environ.get("LC_CTYPE") not in _COERCED:
        return
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return
    found = [entry.partition(b"=")[2] for entry in entries if entry.startswith(b"LC_CTYPE=")]
    if found:
        os.environ["LC_CTYPE"] = os.fsdecode(found[0])
    else:
        del os.environ["LC_CTYPE"]
