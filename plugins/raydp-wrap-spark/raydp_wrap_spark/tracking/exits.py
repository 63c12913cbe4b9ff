"""How this interpreter ends, as far as that can be known in it: told apart in its last moments, in atexit.

Nothing there says so outright. An uncaught exception is in ``sys.last_value``. For the rest, the outermost frame of the
main thread is kept: the last instruction it came to is a return, or it was left by SystemExit, of which no trace is
kept. So ``sys.exit`` is wrapped to send a token along, which is let go of together with the SystemExit: if no frame
is left by then, it was the interpreter that took it.
"""

from __future__ import annotations

import opcode
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["EXITS", "Exits", "UnknownExitError"]

_TOKEN = "_raydp_wrap_token"  # noqa: S105 - no secret


class UnknownExitError(LookupError):
    """It ends by a SystemExit whose code can't be known here."""


class Exits:
    """Watches how the interpreter ends, while somebody wants to know: between :meth:`acquire` and :meth:`release`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._main: FrameType | None = None
        self._taken: SystemExit | None = None
        self._before: Any = None
        self._ours: Any = None

    def acquire(self) -> None:
        """Begin to watch."""
        with self._lock:
            self._wanted += 1
            if self._wanted == 1:
                self._main, self._taken = _outermost(), None
                self._before = sys.exit
                self._ours = sys.exit = _wrapped(self._before, self._note)

    def release(self) -> None:
        """Undo that, when nobody else watches."""
        with self._lock:
            self._wanted -= 1
            if self._wanted == 0:
                if sys.exit is self._ours:
                    sys.exit = self._before
                self._main = self._before = self._ours = None

    def running(self) -> bool:
        """Whether the program still runs: it has not come to its end, nor to the interpreter's."""
        return self._main is None or _outermost() is self._main

    def error(self) -> BaseException | None:
        """What the program ended by; None: it just came to its end. To be asked when it is not running any more.

        Raises:
            UnknownExitError: by a SystemExit, or at a prompt; only the exit code would tell.

        """
        if self._main is None or hasattr(sys, "ps1"):
            raise UnknownExitError
        if _returned(self._main):
            return None
        uncaught = getattr(sys, "last_traceback", None)
        if uncaught is not None and uncaught.tb_frame is self._main:
            return sys.last_value
        if self._taken is None:
            raise UnknownExitError
        return self._taken

    def _note(self, code: Any) -> None:
        self._taken = SystemExit(code)


#: The process's.
EXITS: Final = Exits()


class _Token:
    """Goes with a SystemExit of CODE; TAKEN is told if it was the interpreter that let go of both."""

    def __init__(self, code: Any, taken: Callable[[Any], None]) -> None:
        self._code = code
        self._taken = taken

    def __del__(self) -> None:
        if sys._getframe().f_back is None and threading.get_ident() == threading.main_thread().ident:  # noqa: SLF001
            self._taken(self._code)


def _wrapped(before: Callable[..., Any], taken: Callable[[Any], None]) -> Callable[..., Any]:
    def exit(*args: Any) -> Any:  # noqa: A001 - as it is called in tracebacks
        try:
            return before(*args)
        except SystemExit as error:
            error.__dict__[_TOKEN] = _Token(error.code, taken)
            raise

    # Who pickles it means the one of the interpreter that reads it.
    exit.__module__, exit.__qualname__, exit.__doc__ = "sys", "exit", before.__doc__
    return exit


def _outermost() -> FrameType | None:
    """The main thread's first frame; None where it has none."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 - its documented name
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _returned(frame: FrameType) -> bool:
    last = frame.f_lasti
    return last >= 0 and opcode.opname[frame.f_code.co_code[last]].startswith("RETURN_")
