"""The hang guard: is an application done whose JVM lives on? By what the JVM says, never by a guess."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, Final

from raydp_wrap_spark.jvm_threads import Main, kept_alive, named, printed_exception, read_threads
from raydp_wrap_spark.launcher_protocol.question import Question, UnansweredError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap_spark.jvm_threads import Threads
    from raydp_wrap_spark.launcher_protocol.python_driver import PythonDriver

__all__ = ["HangGuard"]

_FIRST_LOOK: Final = 5.0
_LONGEST_PAUSE: Final = 300.0
_DUMP: Final = "threaddump"
_HISTOGRAM: Final = "inspectheap"


class HangGuard:
    """One driver JVM, from when its SparkContext has stopped.

    It is done when its thread dump says that main has ended, or that System.exit was called. While a Python driver
    lives it is not even asked. Then it has TIMEOUT seconds to end by itself. A JVM that can't be asked
    is left alone, unless its Python driver's exit code is known. Times are those of ``time.monotonic()``.
    """

    def __init__(self, pid: int, pidfd: int, timeout: float) -> None:
        self._pid, self._pidfd, self._timeout = pid, pidfd, timeout
        self._watching = False
        self._python: PythonDriver | None = None
        self._python_lives = False
        self._python_code: int | None = None
        self._question: Question | None = None
        self._unanswered_ones: list[Question] = []
        self._command = ""
        self._printed_exception: bool | None = None
        self._threads: Threads | None = None
        self._done_at: float | None = None
        self._facts: Mapping[str, Any] | None = None
        self._left_at = 0.0
        self._pause = 0.0
        self._next: float | None = None

    def begin(self, python: PythonDriver | None, now: float) -> None:
        """Watch: the SparkContext has stopped. PYTHON is the driver, if it is one; the caller closes it."""
        self.cease()
        self._watching = True
        self._python, self._python_lives = python, python is not None
        self._left(now)

    def cease(self) -> None:
        """Watch no more: there is another SparkContext, or the application is being ended already."""
        self._watching = False
        self._drop_question()
        self._threads = self._done_at = self._next = self._python_code = self._printed_exception = None

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
            return self._ask(now, _DUMP)
        return self._hear(now)

    def facts(self) -> Mapping[str, Any] | None:
        """What there is to judge by, as JSON values, once it has said that the JVM is to be ended."""
        return self._facts

    def close(self) -> None:
        """Let go of what it opened. Called when the JVM is gone."""
        self.cease()
        for question in self._unanswered_ones:
            question.close()

    def _left(self, now: float) -> None:
        """From now on the JVM should end."""
        self._left_at = now
        self._pause = min(_FIRST_LOOK, self._timeout / 2)
        self._next = now + self._pause

    def _ask(self, now: float, command: str, *arguments: str) -> str:
        self._command = command
        try:
            self._question = Question(self._pid, self._pidfd, command, *arguments, now=now)
        except UnansweredError:
            return self._unanswered(now)
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
        self._printed_exception = printed_exception(answer)
        return self._wait_or_end(now)

    def _seen(self, threads: Threads, now: float) -> str:
        self._threads = threads
        if threads.main is Main.RUNNING:
            self._done_at = None
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            self._next = now + self._pause
            return ""
        if self._done_at is not None or self._python is not None:
            self._done_at = self._done_at or self._left_at
            return self._wait_or_end(now)
        self._done_at = now
        # At once: the marks that an exception leaves are gone with the next garbage collection.
        return self._ask(now, _HISTOGRAM, "-all") if threads.main is Main.ENDED else self._wait_or_end(now)

    def _unanswered(self, now: float) -> str:
        if self._done_at is None:
            if self._threads is not None or self._python_code is None:
                self.cease()
                return ""
            self._done_at = self._left_at
        return self._wait_or_end(now)

    def _wait_or_end(self, now: float) -> str:
        assert self._done_at is not None  # noqa: S101 - for the type checker
        if now < self._done_at + self._timeout:
            self._next = self._done_at + self._timeout
            return ""
        self._watching = False
        self._facts = {
            "main": self._threads.main.value if self._threads is not None else None,
            "python": self._python is not None,
            "python_exit_code": self._python_code,
            "printed_exception": self._printed_exception,
            "keepers": named(self._threads.keepers) if self._threads is not None else "",
        }
        return self._clause()

    def _clause(self) -> str:
        threads = self._threads
        if threads is not None and threads.main is Main.EXITING:
            return "System.exit was called, and a shutdown hook does not end"
        if threads is None or not threads.keepers:
            return "its JVM does not end"
        return kept_alive(threads.keepers)

    def _drop_question(self) -> None:
        if self._question is not None:
            self._question.close()
            if self._question.waits:
                self._unanswered_ones.append(self._question)
            self._question = None
