"""A submission that this process sees to: stored before anything is started, decided once, told to everyone."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raydp_wrap import plugins, sinks
from raydp_wrap.errors import RaydpWrapError, UsageError
from raydp_wrap.home import home
from raydp_wrap.model import Event, EventKind, Submission
from raydp_wrap.process import Guard
from raydp_wrap.reporter.conclude import conclude
from raydp_wrap.runs import Run
from raydp_wrap.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from typing_extensions import Self

    from raydp_wrap.backend import Sink
    from raydp_wrap.model import Launch, Outcome
    from raydp_wrap.reporter.reporter import Interrupt

__all__ = ["Ownership", "checked_sinks", "delivery_command", "log", "new_submission_id", "own_command"]


def new_submission_id() -> str:
    """A new id: sortable by time, unique by chance (48 bits a second)."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(6).hex()}"


class Ownership:
    """One submission and its first attempt, from the request to the last report.

    NAMED are its sinks as a user names them. TELL is given what a person should know, a sentence at a time.

    Raises:
        UsageError: a sink can't be told, or there is nowhere to keep state. Nothing was stored.
        StoreError: the store can't be used. The same.

    """

    def __init__(self, name: str, named: Iterable[str], tags: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self._tell = _safely(tell)
        plugins.load(self._tell)  # a wrong choice of plugins is refused before anything is stored
        place = home()
        texts = checked_sinks(named, self._tell)
        with contextlib.ExitStack() as stack:
            self.store = stack.enter_context(Store(place))
            self.run = stack.enter_context(_new_run(place))
            self.submission = Submission(self.run.submission_id, name, time.time(), texts, tags)
            try:
                self.store.submit(self.submission)
            except BaseException:
                self.run.remove()
                raise
            self._stack = stack.pop_all()
        #: The plugins', from the start on.
        self.watches = plugins.Watches(self._tell)
        #: Whether the store has the outcome; until then what the guard recorded may have to decide.
        self.stored = False
        self.event(EventKind.SUBMITTED)

    def event(self, kind: EventKind, outcome: Outcome | None = None) -> None:
        """Let the plugins know."""
        plugins.event(Event(kind, self.submission, 1, time.time(), outcome), self._tell)

    def bind(self, app_id: str) -> None:
        """Note what the cluster calls the application. Sinks that need to know are told then.

        Raises:
            UsageError: it can't be an app id.
            StoreError: the store can't be used.

        """
        if self.store.bind(self.submission.submission_id, app_id):
            self.submission = replace(self.submission, app_id=app_id)
            self.event(EventKind.APP_ID_KNOWN)

    def start(self, launch: Launch, *, ours: bool = False, **options: Any) -> Guard:
        """Start LAUNCH under a guard that reports should we die; as the plugins want it, unless it is OURS.

        Raises as Guard.start.
        """
        if not ours:
            launch = plugins.edit_launch(self.submission, launch, self._tell)
            launch = self.watches.begin(self.submission, launch)
        guard = Guard.start(
            launch,
            identity=self.submission.submission_id,
            record=self.run.record,
            hold=(self.run.lock,),
            on_owner_death=delivery_command(self.run.directory),
            **options,
        )
        self.event(EventKind.ATTEMPT_STARTED)
        return guard

    def end(self, outcome: Outcome, patience: float, interrupt: Interrupt | None = None) -> Outcome:
        """Store OUTCOME, tell everyone for at most PATIENCE seconds, and clean up; the outcome that stands."""
        concluded = conclude(self.store, self.submission, outcome, self._tell, run=self.run)
        self.stored = concluded.stored
        try:
            if concluded.decided:
                self.event(EventKind.TERMINAL, concluded.outcome)
            if concluded.deliveries:
                from raydp_wrap.reporter.reporting import report  # noqa: PLC0415 - a run may have no sinks

                make = functools.partial(sinks.make, tell=self._tell)
                report(concluded, make, patience, self._tell, interrupt=interrupt)
        except BaseException:
            # A Ctrl-C: whoever is to tell instead (the guard's delivery, our caller once more) must find them free.
            with contextlib.suppress(RaydpWrapError):
                concluded.outbox.release(concluded.deliveries)
            raise
        if concluded.stored:
            self.run.remove()
        return concluded.outcome

    def close(self) -> None:
        """Let go of store and run. What was not ended is then decided by the guard's delivery, or by a repair."""
        self.watches.close()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _safely(tell: Callable[[str], None]) -> Callable[[str], None]:
    def safely(text: str) -> None:
        with contextlib.suppress(Exception):  # a caller's print to a closed stream must not cost a report
            tell(text)

    return safely


def log(text: str) -> None:
    """What TELL does where there is no face."""
    import logging  # noqa: PLC0415 - a face has its own way to tell

    logging.getLogger("raydp_wrap").warning("%s", text)


def delivery_command(directory: Path) -> list[str]:
    """What the guard starts when we are gone: this very package, whatever the job's environment says."""
    return own_command("raydp_wrap.deliver", str(directory))


def own_command(module: str, *arguments: str) -> list[str]:
    """A command that calls MODULE's ``main`` with ARGUMENTS, in this very package, whatever the environment says."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; main(*sys.argv[1:])"
    return [sys.executable, "-I", "-c", code, *arguments]


def checked_sinks(named: Iterable[str], tell: Callable[[str], None]) -> tuple[str, ...]:
    """The sinks' texts as other processes need them, each seen to be one that can be told."""
    texts = []
    for text in dict.fromkeys(named):
        sink = sinks.make(text, tell)
        _check(text, sink)
        texts.append(sinks.canonical(text, sink))
    return tuple(dict.fromkeys(texts))


def _check(text: str, sink: Sink) -> None:
    trouble = f"the sink {sinks.redacted(text)} can't be used"
    if not sinks.is_core(text):
        plugins.asked(trouble, lambda: sink.check())  # noqa: PLW0108 - to look it up may be their code, too
        return
    try:
        sink.check()
    except RaydpWrapError:
        raise
    except Exception as error:
        raise UsageError(f"{trouble}: {type(error).__name__}.") from error


def _new_run(place: Path) -> Run:
    while True:
        try:
            return Run.create(place, new_submission_id())
        except FileExistsError:
            continue
