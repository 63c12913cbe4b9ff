"""A sink that does what its script says, and keeps what it has applied where every process sees it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final

from raydp_wrap.backend import Answer, Sink, Verdict
from raydp_wrap.errors import UsageError
from raydp_wrap.outcome import to_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from raydp_wrap.model import Report

__all__ = ["FaultySink"]

_FOREVER = 86400.0


class FaultySink(Sink):
    """Made from ``STEP,STEP,…@FILE``: the n-th call for a key does the n-th step, and the last one for ever.

    ``accept`` applies it. ``slow=SECONDS`` and ``print`` do as well, after a while, and with noise on stdout.
    ``die`` applies it and dies before it answers. Without applying it ``raise`` raises, ``hang`` never returns,
    ``exit`` ends its process with 0, ``segfault`` crashes it, ``retry`` and ``retry=SECONDS`` answer
    RETRY_AFTER, ``reject`` REJECTED, ``nonsense`` answers with no Answer. ``needs-app-id``, anywhere, is no step.

    Raises:
        UsageError: there is no such step, or no file.

    """

    def __init__(self, text: str) -> None:
        script, _, path = text.partition("@")
        steps = [step for step in script.split(",") if step and step != _NEEDS_APP_ID]
        wrong = [step for step in steps if step.partition("=")[0] not in _STEPS]
        if wrong or not path:
            known = ", ".join(sorted(_STEPS))
            raise UsageError(f"a faulty sink is made from STEP,STEP,…@FILE, and a step is one of {known}.")
        # An attribute of the instance: it is this script's, not every one's.
        self.needs_app_id = _NEEDS_APP_ID in script.split(",")  # type: ignore[misc]
        self._script = script
        self._steps = steps or ["accept"]
        self._path = os.path.abspath(path)

    @property
    def text(self) -> str:
        """The script, and the file's absolute path."""
        return f"{self._script}@{self._path}"

    def deliver(self, report: Report) -> Answer:
        """Do the next step."""
        number = sum(key == report.key for key, _ in self.calls())
        step, _, argument = self._steps[min(number, len(self._steps) - 1)].partition("=")
        _append(f"{self._path}.calls", [report.key, step])
        return _STEPS[step](self, report, argument)

    def applied(self) -> list[tuple[str, dict[str, Any]]]:
        """What was applied, in order: each report's key and outcome."""
        return [(key, outcome) for key, outcome in _lines(self._path)]

    def calls(self) -> list[tuple[str, str]]:
        """Every call that was begun, in order: the report's key, and what was done."""
        return [(key, step) for key, step in _lines(f"{self._path}.calls")]

    def apply(self, report: Report) -> Answer:
        """Apply REPORT, if that was not done yet."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if any(key == report.key for key, _ in self.applied()):
                return Answer(Verdict.DUPLICATE)
            _append(self._path, [report.key, to_dict(report.outcome)])
            return Answer(Verdict.ACCEPTED)
        finally:
            os.close(fd)

    def _slow(self, report: Report, argument: str) -> Answer:
        time.sleep(float(argument or 1))
        return self.apply(report)

    def _print(self, report: Report, _: str) -> Answer:
        os.write(1, b"noise\n" * 1000)
        os.write(2, b"noise\n" * 1000)
        return self.apply(report)

    def _die(self, report: Report, _: str) -> Answer:
        self.apply(report)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def _raise(self, _: Report, argument: str) -> Answer:
        raise RuntimeError(argument or "as the script says")

    def _hang(self, _: Report, __: str) -> Answer:
        while True:
            time.sleep(_FOREVER)

    def _exit(self, _: Report, argument: str) -> Answer:
        os._exit(int(argument or 0))

    def _segfault(self, _: Report, __: str) -> Answer:
        import faulthandler  # noqa: PLC0415 - only here

        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError

    def _retry(self, _: Report, argument: str) -> Answer:
        return Answer(Verdict.RETRY_AFTER, "as the script says", float(argument) if argument else None)

    def _reject(self, _: Report, __: str) -> Answer:
        return Answer(Verdict.REJECTED, "as the script says")

    def _nonsense(self, _: Report, __: str) -> Answer:
        nonsense: Any = "accepted"
        answer: Answer = nonsense
        return answer


_NEEDS_APP_ID: Final = "needs-app-id"
_STEPS: Final[Mapping[str, Callable[[FaultySink, Report, str], Answer]]] = {
    "accept": lambda sink, report, _: sink.apply(report),
    "die": FaultySink._die,  # noqa: SLF001 - its own
    "exit": FaultySink._exit,  # noqa: SLF001
    "hang": FaultySink._hang,  # noqa: SLF001
    "nonsense": FaultySink._nonsense,  # noqa: SLF001
    "print": FaultySink._print,  # noqa: SLF001
    "raise": FaultySink._raise,  # noqa: SLF001
    "reject": FaultySink._reject,  # noqa: SLF001
    "retry": FaultySink._retry,  # noqa: SLF001
    "segfault": FaultySink._segfault,  # noqa: SLF001
    "slow": FaultySink._slow,  # noqa: SLF001
}


def _append(path: str, value: object) -> None:
    """One line, in one write: other processes append to it too."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(value).encode() + b"\n")
    finally:
        os.close(fd)


def _lines(path: str) -> list[Any]:
    """Every whole line: one whose writer was ended in the middle of it is none."""
    found = []
    try:
        with open(path, "rb") as file:
            for line in file:
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
    except FileNotFoundError:
        pass
    return found
