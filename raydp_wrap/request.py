"""What is asked for when a job is submitted: what to run, how often to try, and when. Checked, and as JSON values."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING, Any

from raydp_wrap import checks
from raydp_wrap.errors import UsageError
from raydp_wrap.model import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Condition",
    "Context",
    "Dependency",
    "FailureRule",
    "Operator",
    "Phase",
    "Preparation",
    "Request",
    "RetryPolicy",
    "RuleAction",
    "Unset",
]

_MOST_RULES = 20
_MOST_CODE = 255
_MOST_SIGNAL = 64
_LONGEST_KEY = 100
_MOST_PRIORITY = 1_000_000
_MOST_RETRIES = 10**9
_SHORTEST = 5e-324  # seconds: more than 0


class Phase(Enum):
    """Where a submission stands. The last three are terminal."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    SUSPENDING = "SUSPENDING"
    SUSPENDED = "SUSPENDED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def terminal(self) -> bool:
        """Whether nothing comes after it."""
        return self in (Phase.FINISHED, Phase.FAILED, Phase.KILLED)


class Unset(Enum):
    """A value that was not given, which is kept apart from None."""

    UNSET = "unset"


class RuleAction(Enum):
    """What a rule makes of a failed attempt: the last one, one that is not counted, or one that counts."""

    FAIL = "Fail"
    IGNORE = "Ignore"
    COUNT = "Count"


class Operator(Enum):
    """Whether an exit code has to be one of a rule's, or none of them."""

    IN = "In"
    NOT_IN = "NotIn"


@dataclass(frozen=True, slots=True)
class FailureRule:
    """One rule of a failure policy, as Kubernetes's podFailurePolicy has them: exactly one of the three criteria.

    ``exit_codes`` are 0 to 255, without 0 where the operator is IN; ``signals`` are 1 to 64.
    """

    action: RuleAction
    exit_codes: tuple[int, ...] = ()
    operator: Operator = Operator.IN
    signals: tuple[int, ...] = ()
    reasons: tuple[Reason, ...] = ()

    def check(self) -> None:
        """Raises UsageError where it makes no sense."""
        checks.instance("a failure rule's action", self.action, RuleAction, "a RuleAction")
        checks.instance("a failure rule's operator", self.operator, Operator, "an Operator")
        for values in (self.exit_codes, self.signals, self.reasons):
            checks.instance("what a failure rule names", values, (tuple, list), "a tuple")
        for number in (*self.exit_codes, *self.signals):
            checks.whole("a number in a failure rule", number, -checks.MOST, checks.MOST, "a code or signal")
        for reason in self.reasons:
            checks.instance("a reason in a failure rule", reason, Reason, "a Reason")
        if sum(map(bool, (self.exit_codes, self.signals, self.reasons))) != 1:
            raise UsageError("a failure rule names exit codes, signals or reasons: give exactly one of them.")
        for number in self.exit_codes:
            least = 1 if self.operator is Operator.IN else 0
            if not least <= number <= _MOST_CODE:
                raise UsageError(f"{number} can't be in a failure rule: exit codes go from {least} to {_MOST_CODE}.")
        for number in self.signals:
            if not 1 <= number <= _MOST_SIGNAL:
                raise UsageError(f"{number} can't be in a failure rule: signals go from 1 to {_MOST_SIGNAL}.")
        for values in (self.exit_codes, self.signals, self.reasons):
            if len(set(values)) != len(values):
                raise UsageError("a failure rule names something twice: name it once.")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to try again. Seconds.

    ``backoff_limit`` is how many failed attempts may be followed by another; not given, and None, mean 0.
    The pause before the n-th retry is ``backoff_first`` * 2**(n-1), at most ``backoff_cap``, less a share of up to
    ``jitter`` (0 to 1) by chance; before attempt 10 and all after that it is at least 1 s. The first of ``rules`` that
    matches a failed attempt says what it counts.
    """

    backoff_limit: int | Unset | None = Unset.UNSET
    backoff_first: float = 10.0
    backoff_cap: float = 360.0
    jitter: float = 0.1
    rules: tuple[FailureRule, ...] = ()

    @property
    def limit(self) -> int:
        """The backoff limit that holds."""
        return self.backoff_limit if isinstance(self.backoff_limit, int) else 0

    def check(self) -> None:
        """Raises UsageError where it makes no sense."""
        limit = self.backoff_limit
        if limit is not None and limit is not Unset.UNSET:
            checks.whole("the backoff limit", limit, 0, _MOST_RETRIES, "0 (no retry) to 1,000,000,000")
        for what, seconds in (("pause", self.backoff_first), ("longest pause", self.backoff_cap)):
            checks.number(f"the {what} before a retry", seconds, 0, checks.LONGEST, "0 to 1e9 s")
        checks.number("the jitter", self.jitter, 0, 1, "a share from 0 to 1")
        checks.instance("failure rules", self.rules, (tuple, list), "a tuple of them")
        if len(self.rules) > _MOST_RULES:
            raise UsageError(f"there are {len(self.rules)} failure rules: give at most {_MOST_RULES}.")
        for rule in self.rules:
            checks.instance("a failure rule", rule, FailureRule, "a FailureRule")
            rule.check()


class Condition(Enum):
    """How the submission that is waited for has to end."""

    FINISHED = "finished"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Dependency:
    """Start only after another submission has ended; one that ended otherwise than asked for fails the waiting one."""

    submission_id: str
    condition: Condition = Condition.FINISHED

    def check(self) -> None:
        """Raises UsageError where it makes no sense."""
        checks.text("the job to come after", self.submission_id)
        if not self.submission_id.isprintable() or not 0 < len(self.submission_id) <= _LONGEST_KEY:
            raise UsageError(f"there is no job {self.submission_id[:_LONGEST_KEY]!r} to come after: give a job's id.")
        checks.instance("the condition of a job to come after", self.condition, Condition, "a Condition")


@dataclass(frozen=True, slots=True)
class Preparation:
    """A runtime environment: commands around the jobs that name the same ``key``. Seconds.

    ``verify`` exits with 0 where it is ready; else ``setup`` makes it, once, while all who need it wait. A setup that
    fails, or takes longer than ``timeout``, has failed for everyone. ``cleanup`` runs when no job needs it any more.
    Each is an argument list, run in the first submitter's directory and environment.
    """

    key: str
    setup: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    cleanup: tuple[str, ...] = ()
    timeout: float = 600.0

    def check(self) -> None:
        """Raises UsageError where it makes no sense."""
        checks.text("an environment's key", self.key)
        if not self.key or len(self.key) > _LONGEST_KEY or not self.key.isprintable():
            raise UsageError(f"{self.key[:_LONGEST_KEY]!r} can't be an environment's key: use up to 100 characters.")
        for argv in (self.setup, self.verify, self.cleanup):
            checks.texts("a command of the environment", argv)
            checks.passable("a command of the environment", *argv)
            if argv and not argv[0]:
                raise UsageError("a command of the environment has an empty name: give one that can be run.")
        if not self.setup and self.verify:
            raise UsageError("an environment is verified that nothing sets up: give its setup command, too.")
        if not self.setup and not self.cleanup:
            raise UsageError("an environment needs at least a setup or a cleanup command.")
        checks.number("an environment's timeout", self.timeout, _SHORTEST, checks.LONGEST, "more than 0, up to 1e9 s")


@dataclass(frozen=True, slots=True)
class Context:
    """What a job has from its submitter: environment, umask, and the soft limit of open files (None: as it is)."""

    environ: Mapping[str, str] = field(default_factory=dict)
    umask: int | None = None
    nofile: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What a user wants run. Seconds and bytes; None is no limit.

    ``argv`` is an argument list; with ``shell`` it is one shell line. ``env`` is set over the submitter's environment.
    ``active_deadline`` counts from the first attempt's start over all attempts, but not while suspended;
    ``attempt_deadline`` from each attempt's. ``start_timeout`` is from when nothing but room and its environment is
    missing to when an attempt is up. ``cpus``, ``memory`` and
    ``slots`` are taken out of what the supervisor has to give. ``metadata`` is the user's own.
    """

    argv: tuple[str, ...]
    shell: bool = False
    name: str = ""
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    backend: str = "local"
    sinks: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    grace: float = 10.0
    stop_signal: int = 15
    active_deadline: float | None = None
    attempt_deadline: float | None = None
    start_timeout: float | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    priority: int = 0
    cpus: float = 0.0
    memory: int = 0
    slots: Mapping[str, float] = field(default_factory=dict)
    after: tuple[Dependency, ...] = ()
    preparation: Preparation | None = None
    ttl_after_finished: float | None = None
    suspend: bool = False
    split_output: bool = False
    log_limit: int | None = None

    def check(self) -> None:
        """Raises UsageError where it makes no sense; the sentence says what to do."""
        self._check_words()
        self._check_limits()
        self._check_amounts()
        checks.instance("how to retry", self.retry, RetryPolicy, "a RetryPolicy, or a number of retries")
        self.retry.check()
        checks.instance("what to come after", self.after, (tuple, list), "a list of jobs")
        for dependency in self.after:
            checks.instance("a job to come after", dependency, Dependency, "a job, its id, or a Dependency")
            dependency.check()
        if self.preparation is not None:
            checks.instance("the environment to prepare", self.preparation, Preparation, "a Preparation")
            self.preparation.check()

    def _check_words(self) -> None:
        checks.texts("the command", self.argv)
        if not self.argv or not self.argv[0]:
            raise UsageError("there is no command to run: give at least its name.")
        for what, flag in (("shell", self.shell), ("suspend", self.suspend), ("split_output", self.split_output)):
            checks.truth(what, flag)
        if self.shell and len(self.argv) != 1:
            raise UsageError("a shell line is one word: quote it.")
        checks.text("the name", self.name)
        checks.text("the backend", self.backend)
        if self.cwd is not None:
            checks.text("the directory", self.cwd)
        checks.texts("the sinks", self.sinks)
        for what, pairs in (("the variables", self.env), ("the tags", self.tags), ("the metadata", self.metadata)):
            checks.pairs(what, pairs)
        passed = (*self.argv, self.cwd or "", *self.env, *self.env.values())
        checks.passable("a command line, a directory or a variable", *passed)
        if any(not name or "=" in name for name in self.env):
            raise UsageError("a variable's name can't be empty or hold '=': give NAME=VALUE.")

    def _check_limits(self) -> None:
        for what, seconds in (
            ("active deadline", self.active_deadline),
            ("attempt's deadline", self.attempt_deadline),
            ("start timeout", self.start_timeout),
        ):
            if seconds is not None:
                give = "more than 0, up to 1e9 s, or leave it out to wait for ever"
                checks.number(f"the {what}", seconds, _SHORTEST, checks.LONGEST, give)
        checks.number("the grace", self.grace, 0, checks.LONGEST, "0 to 1e9 s")
        checks.whole("the stop signal", self.stop_signal, 1, _MOST_SIGNAL, f"a number from 1 to {_MOST_SIGNAL}")
        if self.ttl_after_finished is not None:
            give = "0 to 1e9 s, or leave it out to keep it"
            checks.number("the time to keep an ended job", self.ttl_after_finished, 0, checks.LONGEST, give)
        if self.log_limit is not None:
            give = "a whole number from 1 to 1e15 bytes, or leave it out to keep all"
            checks.whole("the log's limit", self.log_limit, 1, checks.MOST, give)

    def _check_amounts(self) -> None:
        give = "a whole number from -1,000,000 to 1,000,000"
        checks.whole("the priority", self.priority, -_MOST_PRIORITY, _MOST_PRIORITY, give)
        checks.number("cpus", self.cpus, 0, checks.MOST, "0 to 1e15")
        checks.whole("memory", self.memory, 0, checks.MOST, "a whole number from 0 to 1e15 bytes")
        checks.amounts(self.slots)
        for name in ("cpus", "memory"):
            if name in self.slots:
                raise UsageError(f"{name} can't be a slot: give cpus and memory as such, others a name.")

    @property
    def needs(self) -> dict[str, float]:
        """What it takes while it runs, by name."""
        return {
            name: amount
            for name, amount in {**self.slots, "cpus": self.cpus, "memory": float(self.memory)}.items()
            if amount
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; what is as it is anyway is left out, and an empty limit differs from one of 0."""
        plain: dict[str, Any] = _plain(self)
        return plain

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Request:
        """What :meth:`to_dict` made RAW of; what a newer version added is left out.

        Raises:
            KeyError, TypeError, ValueError: RAW is no request.

        """
        known = _known(cls, raw)
        retry = known.get("retry", {})
        rules = tuple(_rule(rule) for rule in retry.get("rules", ()))
        known["retry"] = RetryPolicy(**{**_known(RetryPolicy, retry), "rules": rules})
        known["after"] = tuple(
            Dependency(one["submission_id"], Condition(one.get("condition", "finished")))
            for one in known.get("after", ())
        )
        if known.get("preparation") is not None:
            known["preparation"] = Preparation(**_tuples(_known(Preparation, known["preparation"])))
        return cls(**_tuples(known))


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return {
            one.name: _plain(getattr(value, one.name))
            for one in fields(value)
            if one.default != getattr(value, one.name) and getattr(value, one.name) not in ({}, ())
        }
    return dict(value) if hasattr(value, "items") else value


def _known(kind: type[Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: raw[name] for name in kind.__dataclass_fields__ if name in raw}


def _tuples(known: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}


def _rule(raw: Mapping[str, Any]) -> FailureRule:
    return FailureRule(
        RuleAction(raw["action"]),
        tuple(raw.get("exit_codes", ())),
        Operator(raw.get("operator", "In")),
        tuple(raw.get("signals", ())),
        tuple(Reason(one) for one in raw.get("reasons", ())),
    )
