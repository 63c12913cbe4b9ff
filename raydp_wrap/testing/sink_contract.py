# ruff: noqa: D102, S101 - assertions are what this is for, and a test is named by its clause of the contract
"""What every sink has to do, as tests: a sink's author subclasses :class:`SinkContract`."""

from __future__ import annotations

import contextlib
import json
import select
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import pytest

from raydp_wrap.backend import Answer, Sink, Verdict
from raydp_wrap.model import Reason, TerminalState
from raydp_wrap.outcome import to_dict
from raydp_wrap.reporter.call import Call
from raydp_wrap.testing import elsewhere
from raydp_wrap.testing.calling import call
from raydp_wrap.testing.leftovers import leftovers
from raydp_wrap.testing.outcomes import a_report, an_outcome, hostile_outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raydp_wrap.model import Report
    from raydp_wrap.testing.calling import Called

__all__ = ["SinkContract", "SinkFactory"]

_TOLD = (Verdict.ACCEPTED, Verdict.DUPLICATE)
_CUT_SHORT = 10


class SinkFactory(Protocol):
    """What makes a sink from the text behind the colon: its class, or a function."""

    def __call__(self, text: str, /) -> Sink:
        """A new sink. Raises UsageError."""


class SinkContract(ABC):
    """Subclass it as ``class TestMine(SinkContract)``, and say how a sink is made and what its receiver has.

    Each test gets a new instance: what the fixture ``sink_text`` sets on ``self`` is there for the other methods.
    A call is made as the reporter makes it, from a text that :meth:`Sink.check` and :attr:`Sink.text` have seen,
    by a new sink in a forked process.
    """

    #: What makes a sink from its text: what the plugin's ``raydp_wrap_sinks`` names, importable by other processes.
    factory: ClassVar[SinkFactory]
    #: Keys of the outcome that the receiver has no place for.
    omits: ClassVar[frozenset[str]] = frozenset()
    #: A new report replaces the one before: :meth:`received` never yields more than one.
    replaces: ClassVar[bool] = False
    #: How many seconds a call may take here.
    patience: ClassVar[float] = 30.0

    @pytest.fixture
    def sink_text(self) -> str:
        """The text behind the colon, for a receiver that is there and empty. To be overridden, as a fixture."""
        raise NotImplementedError("override the fixture sink_text: it returns the text behind the colon")

    @abstractmethod
    def received(self) -> Sequence[tuple[str | None, Mapping[str, Any]]]:
        """What the receiver has, in order: for each report that it APPLIED its key (None: not kept) and its outcome."""

    def break_receiver(self) -> None:
        """Make the receiver fail until :meth:`heal_receiver`. Optional."""
        raise NotImplementedError

    def heal_receiver(self) -> None:
        """Undo :meth:`break_receiver`."""
        raise NotImplementedError

    # What the tests use.

    def make_sink(self, text: str) -> Sink:
        """A new sink."""
        return type(self).factory(text)

    def kept_text(self, text: str) -> str:
        """TEXT as it is kept for other processes: checked, and made absolute."""
        sink = self.make_sink(text)
        sink.check()
        kept = sink.text
        return text if kept is None else kept

    def tell(self, text: str, report: Report) -> Called:
        """Have a new sink made of TEXT deliver REPORT, as the reporter does. It has to come back by itself."""
        called = call(self.make_sink(text), report, self.patience)
        assert called.answer is not None, f"no answer after {self.patience:g} s: a call has to end by itself"
        assert called.returned, f"deliver() ended its process: {called.answer.text}"
        return called

    def report(self, number: int = 1, **changes: Any) -> Report:
        """Report NUMBER: another number is another submission, with another key."""
        return a_report(**{"submission_id": f"20250301-120000-{number:012x}", **changes})

    def applied(self, report: Report) -> list[Mapping[str, Any]]:
        """What the receiver has of REPORT."""
        return [
            outcome
            for key, outcome in self.received()
            if key == report.key or (key is None and outcome.get("submission_id") == report.outcome.submission_id)
        ]

    def expected(self, report: Report) -> dict[str, Any]:
        """The outcome as the receiver should have it."""
        whole = json.loads(json.dumps(to_dict(report.outcome)))
        return {key: value for key, value in whole.items() if key not in self.omits}

    # The contract.

    def test_a_sink_is_made_from_its_text(self, sink_text: str) -> None:
        sink = self.make_sink(sink_text)
        assert isinstance(sink, Sink)
        assert sink is not self.make_sink(sink_text), "each process makes its own"
        assert type(sink.needs_app_id) is bool
        assert sink.text is None or type(sink.text) is str

    def test_check_sends_nothing(self, sink_text: str) -> None:
        self.make_sink(sink_text).check()
        assert not self.received()

    def test_what_is_kept_is_kept_again(self, sink_text: str) -> None:
        kept = self.kept_text(sink_text)
        assert self.kept_text(kept) == kept, "the text of a sink that was made of its own text is the same"

    def test_the_outcome_arrives(self, sink_text: str) -> None:
        report = self.report()
        called = self.tell(self.kept_text(sink_text), report)
        assert called.raised is None
        assert called.verdict is Verdict.ACCEPTED, called.answer
        (outcome,) = self.applied(report)
        assert {key: value for key, value in outcome.items() if key not in self.omits} == self.expected(report)

    @pytest.mark.parametrize(
        "changes",
        [
            {"state": TerminalState.FINISHED, "exit_code": 0, "reason": None, "diagnostics": "", "tags": {}},
            {"state": TerminalState.KILLED, "exit_code": 143, "reason": Reason.STOP_REQUESTED},
            {"exit_code": None, "signal": 9, "reason": Reason.OUT_OF_MEMORY},
            {"started_at": None, "ended_at": None, "evidence": ()},
        ],
        ids=["finished", "killed", "signal", "bare"],
    )
    def test_every_kind_of_outcome_arrives(self, sink_text: str, changes: dict[str, Any]) -> None:
        report = self.report(**changes)
        called = self.tell(self.kept_text(sink_text), report)
        assert called.told, called
        (outcome,) = self.applied(report)
        assert {key: value for key, value in outcome.items() if key not in self.omits} == self.expected(report)

    def test_an_unknown_app_id_is_no_error(self, sink_text: str) -> None:
        if self.make_sink(sink_text).needs_app_id:
            pytest.skip("needs_app_id: it is never told without one")
        report = self.report(app_id=None)
        called = self.tell(self.kept_text(sink_text), report)
        assert called.told, called
        assert len(self.applied(report)) == 1

    def test_one_key_is_applied_once(self, sink_text: str) -> None:
        text = self.kept_text(sink_text)
        for tries in (1, 2, 3):
            called = self.tell(text, self.report(tries=tries))
            assert called.told, called
        assert len(self.applied(self.report())) == 1
        assert len(self.received()) == 1

    def test_each_key_is_applied(self, sink_text: str) -> None:
        text = self.kept_text(sink_text)
        reports = [self.report(number, name=f"job {number}") for number in (1, 2, 3)]
        for report in reports:
            assert self.tell(text, report).verdict is Verdict.ACCEPTED
        told = [outcome["submission_id"] for _, outcome in self.received()]
        assert told == [report.outcome.submission_id for report in (reports[-1:] if self.replaces else reports)]

    def test_a_call_that_was_cut_short_is_applied_once(self, sink_text: str) -> None:
        """The reporter's process, or the machine, may end at any moment of a call, and the report is sent again."""
        text = self.kept_text(sink_text)
        for number in range(1, _CUT_SHORT + 1):
            report, sink = self.report(number), self.make_sink(text)

            def deliver(sink: Sink = sink, report: Report = report) -> Answer:
                return sink.deliver(report)

            with leftovers(self.patience) as left, contextlib.closing(Call(deliver)) as started:
                select.select([started], [], [], 0.0005 * 2 ** (number - 3))  # and then it is ended
            assert not left, f"what a call starts has to end with its process: {left}"
            called = self.tell(text, report)
            assert called.told, called
            assert len(self.applied(report)) == 1
        assert len(self.received()) == (1 if self.replaces else _CUT_SHORT)

    def test_hostile_content_does_no_harm(self, sink_text: str) -> None:
        text = self.kept_text(sink_text)
        outcome = hostile_outcome()
        called = self.tell(text, a_report("hostile/1", **{f: getattr(outcome, f) for f in outcome.__slots__}))
        assert called.raised is None
        assert called.verdict in (*_TOLD, Verdict.REJECTED), called.answer
        plain = self.report(2)
        called = self.tell(text, plain)
        assert called.told, f"what came after it was not told: {called}"
        assert len(self.applied(plain)) == 1

    def test_a_broken_receiver_is_told_of_and_told_again(self, sink_text: str) -> None:
        text = self.kept_text(sink_text)
        try:
            self.break_receiver()
        except NotImplementedError:
            pytest.skip("there is no break_receiver(): whether a failure is told is not seen")
        called = self.tell(text, self.report())
        assert called.raised is None, f"answer RETRY_AFTER or REJECTED, with a sentence, instead of {called.raised}"
        assert called.verdict in (Verdict.RETRY_AFTER, Verdict.REJECTED), called.answer
        assert called.answer is not None
        assert called.answer.text, "an operator is shown the answer's text: say what is wrong"
        assert called.answer.seconds is None or called.answer.seconds >= 0
        self.heal_receiver()
        assert self.tell(text, self.report(tries=2)).told
        assert len(self.applied(self.report())) == 1

    def test_another_process_can_tell_it(self, sink_text: str) -> None:
        """With another directory and environment: what counts has to be in the text."""
        text = self.kept_text(sink_text)
        report = self.report()
        assert elsewhere.deliver(type(self).factory, text, report).verdict is Verdict.ACCEPTED
        assert len(self.applied(report)) == 1
        assert self.tell(text, report).told
        assert len(self.applied(report)) == 1, "it was told by another process already"

    def test_it_can_be_imported_by_others(self) -> None:
        made = elsewhere.imported(elsewhere.importable(type(self).factory))
        assert made is type(self).factory

    def test_outcomes_are_not_changed(self, sink_text: str) -> None:
        report, text = self.report(), self.kept_text(sink_text)
        sink = self.make_sink(text)
        assert sink.deliver(report).verdict in _TOLD
        assert report == self.report()
        assert report.outcome == an_outcome(submission_id=report.outcome.submission_id)
