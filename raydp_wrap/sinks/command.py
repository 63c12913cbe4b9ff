"""``exec:COMMAND LINE``: a command with the outcome on its stdin and in its environment."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import time
from typing import TYPE_CHECKING

from raydp_wrap.backend import Answer, Sink, Verdict
from raydp_wrap.errors import RaydpWrapError, UsageError
from raydp_wrap.model import Cause, Launch
from raydp_wrap.sinks.shown import hidden, printable, redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap.model import ExitRecord, Report
    from raydp_wrap.process import Guard

__all__ = ["Command"]

_SECONDS = 30.0
_GRACE = 1.0
_REAP = 3.0
_EX_DATAERR = 65
_TEXT = 500
_CHUNK = 65536
# Far below what execve takes of one string (128 KiB); the whole value is on stdin.
_MOST = 4096
_NO_TEXT = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")


class Command(Sink):
    """Runs a command, without a shell and in ``/``; exit code 0 is ACCEPTED, 65 (EX_DATAERR) REJECTED.

    Everything else is RETRY_AFTER: another exit code, a signal, no such program, more than 30 seconds. Nothing
    that it starts outlives it, nor the process that called :meth:`deliver`. What it prints is not passed on; its
    end is the text of an answer that is not ACCEPTED.

    Raises:
        UsageError: the line is empty, or its quotes don't match.

    """

    def __init__(self, line: str) -> None:
        self._shown = redacted(f"exec:{line}")
        try:
            self._argv = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"the quotes of the sink {self._shown} don't match: close each one.") from error
        if not self._argv or not self._argv[0]:
            raise UsageError("the sink exec: names no command: write it behind the colon.")
        if "\0" in line:
            raise UsageError(f"the sink {self._shown} holds a NUL, which no argument can: leave it out.")
        self._text: str | None = None
        self._seconds = _SECONDS

    @property
    def text(self) -> str | None:
        """The command line with the program that was found."""
        return self._text

    def check(self) -> None:
        """Find the program: it is this one that is run, whatever directory and PATH are later."""
        from shutil import which  # noqa: PLC0415 - once, in the owner

        try:
            found = which(self._argv[0])
            program = found and os.path.abspath(found)
        except (OSError, ValueError):
            program = None
        if not program:
            message = f"the program of the sink {self._shown} is not there, or can't be executed: name another."
            raise UsageError(message)
        if program != self._argv[0]:
            self._argv[0] = program
            self._text = shlex.join(self._argv)

    def deliver(self, report: Report) -> Answer:
        """Run it; see the class for what its end means."""
        from raydp_wrap.process import Guard  # noqa: PLC0415 - the owner has it, a lister of sinks does not

        launch = Launch(tuple(self._argv), env=_environment(report), cwd="/")
        try:
            with _stdin(report) as stdin, _pipe() as (ours, theirs):
                try:
                    guard = Guard.start(
                        launch,
                        stdin=stdin,
                        stdout=theirs,
                        stderr=theirs,
                        grace=_GRACE,
                        reap_timeout=_REAP,
                        active_deadline=self._seconds,
                        containment="tree",
                    )
                finally:
                    os.close(theirs)
                with guard:
                    record, output = _follow(guard, ours, time.monotonic() + self._seconds + _GRACE + 2 * _REAP)
        except (RaydpWrapError, OSError) as error:
            return Answer(Verdict.RETRY_AFTER, printable(str(error), _TEXT))
        return self._judge(record, output)

    def _judge(self, record: ExitRecord | None, output: bytes) -> Answer:
        from raydp_wrap.outcome import signal_name  # noqa: PLC0415 - as above

        if record is None:
            return Answer(Verdict.RETRY_AFTER, "it can't be ended, not even by SIGKILL")
        end = record.driver
        verdict = Verdict.RETRY_AFTER
        # One that was asked to end by its deadline may say 0 as well: that is no yes.
        if record.cause is Cause.ACTIVE_DEADLINE:
            said = f"it was not done within {self._seconds:g} s"
        elif end is None or record.cause is not Cause.NONE:
            said = "it was ended before it was done"
        elif end.signal is not None:
            said = f"it was ended by {signal_name(end.signal)}"
        elif end.code == 0:
            return Answer(Verdict.ACCEPTED)
        else:
            said = f"it exited with {end.code}"
            verdict = Verdict.REJECTED if end.code == _EX_DATAERR else verdict
        # Arguments may be secrets; paths among them are what its message is about.
        secrets = [word for word in self._argv[1:] if not word.startswith(("/", "."))]
        text = hidden(output.decode("utf-8", "replace"), secrets)
        shown = printable(text.strip(), _TEXT - len(said) - 2, end=True)
        return Answer(verdict, f"{said}: {shown}" if shown else said)


def _environment(report: Report) -> dict[str, str]:
    outcome = report.outcome
    facts = {
        "SUBMISSION_ID": outcome.submission_id,
        "NAME": outcome.name,
        "APP_ID": outcome.app_id,
        "ATTEMPT": outcome.attempt,
        "STATE": outcome.state.value,
        "EXIT_CODE": outcome.exit_code,
        "SIGNAL": outcome.signal,
        "REASON": outcome.reason.value if outcome.reason else None,
        "KEY": report.key,
        "TRIES": report.tries,
    }
    # A command that runs something under us must not be told of that by itself, without end.
    unset = {"RAYDP_WRAP_SINKS", *(f"RAYDP_WRAP_{name}" for name in facts)}
    env = {name: value for name, value in os.environ.items() if name not in unset}
    env.update({f"RAYDP_WRAP_{name}": _value(value) for name, value in facts.items() if value is not None})
    return env


def _value(fact: object) -> str:
    """FACT as an environment takes it: no NUL, UTF-8 whatever the locale, bytes that were none as they were."""
    return os.fsdecode(_NO_TEXT.sub("\ufffd", str(fact))[:_MOST].encode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def _stdin(report: Report) -> Iterator[int]:
    """The outcome in memory: a command that does not read it keeps nobody waiting, as with a pipe."""
    from raydp_wrap.sinks.document import portable  # noqa: PLC0415 - as above

    fd = os.memfd_create("outcome", os.MFD_CLOEXEC)
    with os.fdopen(fd, "wb") as file:
        file.write(portable(report.outcome) + b"\n")
        file.seek(0)
        yield fd


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """A pipe's two ends; the second is the caller's to close."""
    ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.set_blocking(theirs, True)
        yield ours, theirs
    finally:
        os.close(ours)


def _follow(guard: Guard, output: int, deadline: float) -> tuple[ExitRecord | None, bytes]:
    """Wait for the end, and read what it prints meanwhile: the record (None: it can't be ended), and the tail."""
    from raydp_wrap.process import News  # noqa: PLC0415 - as above

    poll = select.poll()
    poll.register(guard.fileno(), select.POLLIN)
    poll.register(output, select.POLLIN)
    tail = b""
    while ready := {fd for fd, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)}:
        if output in ready:
            piece = os.read(output, _CHUNK)
            tail = (tail + piece)[-4 * _TEXT :]
            if not piece:
                poll.unregister(output)
        if guard.fileno() in ready:
            told = guard.read()
            if told is None or told.news is News.ENDED:
                return guard.wait(), (tail + _rest(output))[-4 * _TEXT :]
    return None, tail


def _rest(output: int) -> bytes:
    """What its tree, which is empty now, has left in the pipe."""
    tail = b""
    with contextlib.suppress(BlockingIOError):
        for _ in range(16):  # a pipe's 64 KiB, or the 1 MiB that a command may set; a survivor may go on writing
            piece = os.read(output, _CHUNK)
            if not piece:
                break
            tail = piece[-4 * _TEXT :]
    return tail
