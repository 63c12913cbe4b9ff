"""Whether there is another attempt: pure, and the only place that decides it.

Asked once for each attempt that has ended, right before that end is stored.
"""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raydp_wrap.errors import RaydpWrapError, UsageError
from raydp_wrap.job import Tally
from raydp_wrap.model import Reason, TerminalState
from raydp_wrap.outcome import REASONS, signal_name
from raydp_wrap.request import FailureRule, Operator, RuleAction

if TYPE_CHECKING:
    import random

    from raydp_wrap.model import Outcome
    from raydp_wrap.request import RetryPolicy

__all__ = ["Decision", "decide", "retry_on"]

_SIGNAL_BASE: Final = 128
_MOST_CODE, _MOST_SIGNAL = 255, 64
_MOST_DOUBLINGS = 1000  # a float holds no more
_LATE: Final = 9  # the retry that is attempt 10
_LEAST_PAUSE: Final = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Decision:
    """What comes after an attempt: another one in ``pause`` seconds, or none; what it counts as; why, as a clause."""

    retry: bool
    tally: Tally
    pause: float
    why: str


def decide(policy: RetryPolicy, outcome: Outcome, *, failed: int, ignored: int, chance: random.Random) -> Decision:
    """Decide by POLICY what comes after the attempt that ended with OUTCOME.

    FAILED and IGNORED are how many attempts were counted so before this one. CHANCE is for the jitter.

    Raises:
        RaydpWrapError: OUTCOME is no end: a fault of ours.

    """
    if outcome.state is TerminalState.FINISHED:
        return Decision(retry=False, tally=Tally.SUCCEEDED, pause=0.0, why="it finished")
    if outcome.state is TerminalState.KILLED:
        tally = Tally.SUSPENDED if outcome.reason is Reason.SUSPENDED else Tally.STOPPED
        return _last(tally, REASONS[outcome.reason or Reason.STOP_REQUESTED].text)
    if outcome.state is not TerminalState.FAILED:
        raise RaydpWrapError(f"attempt {outcome.attempt} of {outcome.submission_id} has not ended: it can't be judged.")
    meaning = REASONS[outcome.reason or Reason.APP_FAILED]
    if not meaning.retryable:
        return _last(Tally.FAILED, f"{meaning.text}, which is never retried")
    number, rule, end = _first_match(policy, outcome)
    if rule is None or rule.action is RuleAction.COUNT:
        return _counted(policy, failed, ignored, chance)
    if rule.action is RuleAction.FAIL:
        return _last(Tally.FAILED, f"{end} is final by rule {number}")
    pause = _pause(policy, failed + ignored + 1, chance)
    return Decision(retry=True, tally=Tally.IGNORED, pause=pause, why=f"{end} is ignored by rule {number}")


def _first_match(policy: RetryPolicy, outcome: Outcome) -> tuple[int, FailureRule | None, str]:
    """The number of the first rule that matches, from 1, the rule, and what it matches in words."""
    for number, rule in enumerate(policy.rules, 1):
        end = _matched(rule, outcome)
        if end:
            return number, rule, end
    return 0, None, ""


def _last(tally: Tally, why: str) -> Decision:
    return Decision(retry=False, tally=tally, pause=0.0, why=why)


def _counted(policy: RetryPolicy, failed: int, ignored: int, chance: random.Random) -> Decision:
    limit = policy.limit
    if failed >= limit:
        return _last(Tally.FAILED, f"the backoff limit of {limit} is reached" if limit else "no retry was asked for")
    pause = _pause(policy, failed + ignored + 1, chance)
    return Decision(retry=True, tally=Tally.FAILED, pause=pause, why=f"failure {failed + 1}, retried up to {limit}")


def _pause(policy: RetryPolicy, number: int, chance: random.Random) -> float:
    """Seconds before retry NUMBER, from 1."""
    longest = min(policy.backoff_cap, policy.backoff_first * 2.0 ** min(number - 1, _MOST_DOUBLINGS))
    pause = longest * (1.0 - policy.jitter * chance.random())
    # An ignored failure is retried for ever: without a pause it would take a core for ever.
    return max(pause, _LEAST_PAUSE) if number >= _LATE else pause


def _matched(rule: FailureRule, outcome: Outcome) -> str:
    """What of OUTCOME matches RULE, in words; "" if nothing does."""
    code, number, reason = outcome.exit_code, outcome.signal, outcome.reason or Reason.APP_FAILED
    # Who was ended by a signal has no exit code: it is not "none of" a rule's codes, either.
    if rule.exit_codes and code is not None and (code in rule.exit_codes) is (rule.operator is Operator.IN):
        return f"exit code {code}"
    if number is not None and number in rule.signals:
        return signal_name(number)
    if reason in rule.reasons:
        return f"reason {reason.value}"
    return ""


def retry_on(words: str) -> tuple[FailureRule, ...]:
    """The rules for WORDS as in ``52,137,SIGKILL,OutOfMemory``: these ends are retried, and are not counted.

    All others stay under the backoff limit. An exit code of 128+n is what a shell makes of signal n, and what our
    command line shows for it: either stands for both.

    Raises:
        UsageError: a word is no exit code, signal or reason, or is one that is never retried.

    """
    codes: dict[int, None] = {}
    numbers: dict[int, None] = {}
    reasons: dict[Reason, None] = {}
    for word in words.split(","):
        end = _end(word.strip())
        if isinstance(end, Reason):
            reasons[end] = None
            continue
        codes[end] = None
        if 0 < end - _SIGNAL_BASE <= _MOST_SIGNAL:
            numbers[end - _SIGNAL_BASE] = None
    rules = (
        FailureRule(RuleAction.IGNORE, exit_codes=tuple(codes)),
        FailureRule(RuleAction.IGNORE, signals=tuple(numbers)),
        FailureRule(RuleAction.IGNORE, reasons=tuple(reasons)),
    )
    return tuple(rule for rule in rules if rule.exit_codes or rule.signals or rule.reasons)


def _end(word: str) -> int | Reason:
    """An exit code (a signal as 128+n), or a reason."""
    if word.isascii() and word.isdigit():
        # A number of a hundred thousand digits is no number that Python converts.
        code = int(word) if len(word) <= len(str(_MOST_CODE)) else 0
        if 1 <= code <= _MOST_CODE:
            return code
        raise UsageError(f"{word[:20]!r} is no failure's exit code: give numbers from 1 to {_MOST_CODE}.")
    for reason, meaning in REASONS.items():
        if word.lower() == reason.value.lower():
            if meaning.retryable:
                return reason
            raise UsageError(f"{reason.value} is never retried: leave it out.")
    name = word.upper()
    found = signals.Signals.__members__.get(name if name.startswith("SIG") else f"SIG{name}")
    if found is None:
        raise UsageError(
            f"{word[:40]!r} is no end that can be retried: give exit codes, signals or reasons (52,SIGKILL,JobLost)."
        )
    return _SIGNAL_BASE + found
