"""Calls of a sink, in a process of its own as the reporter's are."""

from __future__ import annotations

import contextlib
import os
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raydp_wrap.backend import Verdict
from raydp_wrap.reporter.call import Call

if TYPE_CHECKING:
    from raydp_wrap.backend import Answer, Sink
    from raydp_wrap.model import Report

__all__ = ["Called", "call"]

_MOST = 4096


@dataclass(frozen=True, slots=True)
class Called:
    """What came of a call: the answer the reporter goes by, and what lies behind it.

    ``raised`` shows the exception, if :meth:`Sink.deliver` raised one. ``returned``: it came back, with an answer
    or an exception; otherwise its process died, or was ended when the time was up (``answer`` is None then).
    """

    answer: Answer | None
    raised: str | None = None
    returned: bool = True

    @property
    def verdict(self) -> Verdict | None:
        """The answer's verdict."""
        return self.answer.verdict if self.answer is not None else None

    @property
    def told(self) -> bool:
        """Whether the reporter takes it for told."""
        return self.verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE)


def call(sink: Sink, report: Report, timeout: float = 30.0) -> Called:
    """Have SINK deliver REPORT in a forked child, which is ended when TIMEOUT seconds are over."""
    read, write = os.pipe()
    try:

        def function() -> Answer:
            try:
                answer = sink.deliver(report)
            except BaseException as error:
                os.write(write, f"!{error!r}".encode("utf-8", "backslashreplace")[:_MOST])
                raise
            os.write(write, b".")
            return answer

        with contextlib.closing(Call(function)) as started:
            in_time = bool(select.select([started], [], [], timeout)[0])
            answer = started.answer() if in_time else None
        os.set_blocking(read, False)
        try:
            behind = os.read(read, _MOST)
        except BlockingIOError:
            behind = b""
    finally:
        os.close(read)
        os.close(write)
    raised = behind[1:].decode("utf-8", "replace") if behind.startswith(b"!") else None
    return Called(answer, raised, returned=in_time and bool(behind))
