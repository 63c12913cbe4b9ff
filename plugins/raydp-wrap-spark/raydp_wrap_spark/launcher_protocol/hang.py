"""The hang guard: is an application done whose JVM lives on? By what the JVM says, never by a guess."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, Final

from raydp_wrap_spark.jvm_threads import Main, kept_alive, named, printed_exception, read_threads, still_exiting
from raydp_wrap_spark.launcher_protocol.jvm_process import process, system_calls
from raydp_wrap_spark.launcher_protocol.performance_data import collections, performance_data
from raydp_wrap_spark.launcher_protocol.progress import Look, progressed
from raydp_wrap_spark.launcher_protocol.question import Question, UnansweredError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap_spark.jvm_threads import Threads
    from raydp_wrap_spark.launcher_protocol.attach_files import AttachFiles
    from raydp_wrap_spark.launcher_protocol.python_driver import PythonDriver

__all__ = ["HangGuard"]

_FIRST_LOOK: Final = 0.5
_LONGEST_PAUSE: Final = 60.0
# Into so many parts the timeout is divided by looks.
_PARTS: Final = 5
_LATE: Final = 0.5
_DUMP: Final = "threaddump"
_HISTOGRAM: Final = "inspectheap"


class HangGuard:
    """One driver JVM, from when its SparkContext has stopped.

    It is done when its thread dump says that main has ended, or that System.exit was called. While a Python driver
    lives it is not even asked. It is to be ended once none of the threads that keep it has done anything for TIMEOUT
    seconds. A JVM that can't be asked is left alone, unless its Python driver's exit code is known. Times are those of
    ``time.monotonic()``.
    """

    def __init__(self, pid: int, pidfd: int, timeout: float) -> None:
        self._pid, self._pidfd, self._timeout = pid, pidfd, timeout
        self._watching = False
        self._python: PythonDriver | None = None
        self._python_lives = False
        self._python_code: int | None = None
        self._question: Question | None = None
        self._files: list[AttachFiles] = []
        self._command = ""
        self._collections: Mapping[bytes, bytes] | None = None  # at a moment when main had not ended
        self._collections_asked: Mapping[bytes, bytes] | None = None
        self._printed_exception: bool | None = None
        self._look: Look | None = None
        self._quiet_parts = -1
        self._facts: Mapping[str, Any] | None = None
        self._stopped_at = self._left_at = self._asked_at = 0.0
        self._pause = 0.0
        self._next: float | None = None

    def begin(self, python: PythonDriver | None, now: float, late: float = 0.0) -> None:
        """Watch: the SparkContext has stopped, LATE seconds ago.

        PYTHON is the driver, if it is one; the caller closes it.
        """
        self.cease()
        self._watching = True
        self._stopped_at = now - late
        self._python, self._python_lives = python, python is not None
        self._collections = self._count_collections() if late <= _LATE else None
        self._left(now)

    def cease(self) -> None:
        """Watch no more: there is another SparkContext, or the application is being ended already."""
        self._watching = False
        self._drop_question()
        self._look = self._next = self._python_code = self._printed_exception = None
        self._quiet_parts = -1

    def sources(self) -> dict[int, Any]:
        """What is readable when :meth:`step` has something to do, by descriptor."""
        if not self._watching:
            return {}
        if self._python is not None and self._python_lives:
            return {self._python.fileno(): self._python}
        fd = self._question.fileno() if self._question is not None else None
        return {} if fd is None else {fd: self._question}

    def deadline(self) -> float | None:
        """When :meth:`step` wants to be called even so."""
        if not self._watching or self._python_lives:
            return None
        return self._next if self._question is None else self._question.deadline

    def step(self, now: float) -> str:
        """Go on as far as that takes no waiting. A clause, once: the application is done, and its JVM to be ended."""
        if not self._watching:
            return ""
        if self._python_lives:
            assert self._python is not None  # noqa: S101 - for the type checker
            if not select.select([self._python], [], [], 0)[0]:
                return ""
            self._python_lives = False
            self._left(now)
        if self._question is None:
            if self._next is None or now < self._next:
                return ""
            # Not known before the JVM has reaped it, which is a moment after its end.
            self._python_code = self._python.exit_code() if self._python is not None else None
            self._collections_asked = self._count_collections()
            return self._ask(now, _DUMP)
        return self._hear(now)

    def facts(self) -> Mapping[str, Any] | None:
        """What there is to judge by, as JSON values, once it has said that the JVM is to be ended."""
        return self._facts

    def close(self) -> None:
        """Let go of what it opened, and clear away what it had a JVM make that is gone."""
        self.cease()
        for files in self._files:
            files.clear()
        self._files.clear()

    def _left(self, now: float) -> None:
        """From now on the JVM should end."""
        self._left_at = now
        self._pause = min(_FIRST_LOOK, self._timeout / 2)
        self._next = now + self._pause

    def _ask(self, now: float, command: str, *arguments: str) -> str:
        self._command, self._asked_at = command, now
        try:
            self._question = Question(self._pid, self._pidfd, command, *arguments, now=now)
        except UnansweredError:
            return self._unanswered(now)
        if self._question.files is not None:
            self._files.append(self._question.files)
        return self._hear(now)

    def _hear(self, now: float) -> str:
        assert self._question is not None  # noqa: S101 - for the type checker
        try:
            answer = self._question.step(now)
        except UnansweredError:
            self._drop_question()
            return self._unanswered(now)
        if answer is None:
            return ""
        self._drop_question()
        if self._command == _DUMP:
            return self._seen(read_threads(answer), now)
        self._printed_exception = self._verdict(answer)
        self._next = now + self._timeout / _PARTS
        return ""

    def _seen(self, threads: Threads, now: float) -> str:
        before = self._look
        self._look = Look(now, threads, system_calls(self._pid), self._asked_at - self._stopped_at)
        if threads.main is Main.RUNNING:
            self._collections = self._collections_asked
            self._quiet_parts = -1
            self._look_again_later(now)
            return ""
        has_ended = before is None or before.threads.main is Main.RUNNING
        if self._quiet_parts < 0 or before is None or progressed(before, self._look):
            self._quiet_parts = 0
        else:
            self._quiet_parts += 1
        if self._quiet_parts >= _PARTS:
            return self._over()
        self._next = now + self._timeout / _PARTS
        if has_ended and threads.main is Main.ENDED and self._python is None:
            # At once: the marks that an exception leaves are gone with the next garbage collection.
            return self._ask(now, _HISTOGRAM, "-all")
        return ""

    def _verdict(self, histogram: str) -> bool | None:
        """Whether main has thrown, by all appearances; None: the marks would be gone."""
        if printed_exception(histogram):
            return True
        return False if self._collections is not None and self._collections == self._count_collections() else None

    def _unanswered(self, now: float) -> str:
        if self._look is not None:
            self._quiet_parts = -1
            self._look_again_later(now)
        elif self._python_code is None:
            self.cease()
        elif now >= self._left_at + self._timeout:
            return self._over()
        else:
            self._next = self._left_at + self._timeout
        return ""

    def _look_again_later(self, now: float) -> None:
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._next = now + self._pause

    def _over(self) -> str:
        self._watching = False
        main = self._look.threads.main if self._look is not None else None
        names = self._names()
        self._facts = {
            "main": main.value if main is not None else None,
            "python": self._python is not None,
            "python_exit_code": self._python_code,
            "printed_exception": self._printed_exception,
            "keepers": named(names),
        }
        if main is Main.EXITING:
            return still_exiting(names)
        return kept_alive(names) if names else "its JVM does not end"

    def _names(self) -> list[str]:
        if self._look is None:
            return []
        threads = self._look.threads
        found = threads.hooks(self._look.stopped_for) if threads.main is Main.EXITING else threads.keepers
        return [thread.name for thread in found]

    def _count_collections(self) -> Mapping[bytes, bytes] | None:
        try:
            return collections(performance_data(self._pid, process(self._pid).inner_pid))
        except (OSError, ValueError):
            return None

    def _drop_question(self) -> None:
        if self._question is not None:
            self._question.close()
            self._question = None
