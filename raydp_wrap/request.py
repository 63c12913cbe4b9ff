"""What is asked for when a job is submitted: what to run, how often to try, and when. Checked, and as JSON values."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING, Any

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
        if limit not in (None, Unset.UNSET) and not (isinstance(limit, int) and limit >= 0):
            raise UsageError(f"the backoff limit can't be {limit}: give 0 (no retry) or more.")
        for what, seconds in (("pause", self.backoff_first), ("longest pause", self.backoff_cap)):
            if not 0 <= seconds < float("inf"):
                raise UsageError(f"the {what} before a retry can't be {seconds} s: give 0 or more.")
        if not 0 <= self.jitter <= 1:
            raise UsageError(f"the jitter can't be {self.jitter}: give a share from 0 to 1.")
        if len(self.rules) > _MOST_RULES:
            raise UsageError(f"there are {len(self.rules)} failure rules: give at most {_MOST_RULES}.")
        for rule in self.rules:
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
        if not self.key or len(self.key) > _LONGEST_KEY or not self.key.isprintable():
            raise UsageError(f"{self.key[:_LONGEST_KEY]!r} can't be an environment's key: use up to 100 characters.")
        for argv in (self.setup, self.verify, self.cleanup):
            if argv and not argv[0]:
                raise UsageError("a command of the environment has an empty name: give one that can be run.")
            if any("\0" in word for word in argv):
                raise UsageError("a NUL can't be in a command of the environment: leave it out.")
        if not self.setup and self.verify:
            raise UsageError("an environment is verified that nothing sets up: give its setup command, too.")
        if not self.setup and not self.cleanup:
            raise UsageError("an environment needs at least a setup or a cleanup command.")
        if not 0 < self.timeout < float("inf"):
            raise UsageError(f"an environment's timeout can't be {self.timeout} s: give more than 0.")


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
        if not self.argv or not self.argv[0]:
            raise UsageError("there is no command to run: give at least its name.")
        if self.shell and len(self.argv) != 1:
            raise UsageError("a shell line is one word: quote it.")
        if any("\0" in word for word in (*self.argv, self.cwd or "", *self.env, *self.env.values())):
            raise UsageError("a NUL can't be in a command line, a directory or a variable: leave it out.")
        if any(not name or "=" in name for name in self.env):
            raise UsageError("a variable's name can't be empty or hold '=': give NAME=VALUE.")
        self._check_limits()
        self.retry.check()
        if self.preparation is not None:
            self.preparation.check()

    def _check_limits(self) -> None:
        for what, seconds in (
            ("active deadline", self.active_deadline),
            ("attempt's deadline", self.attempt_deadline),
            ("start timeout", self.start_timeout),
        ):
            if seconds is not None and not 0 < seconds < float("inf"):
                raise UsageError(f"the {what} must be more than 0: leave it out to wait for ever.")
        if not 0 <= self.grace < float("inf"):
            raise UsageError(f"the grace can't be {self.grace} s: give 0 or more.")
        if not 1 <= self.stop_signal <= _MOST_SIGNAL:
            raise UsageError(f"{self.stop_signal} is no signal: give a number from 1 to {_MOST_SIGNAL}.")
        if self.ttl_after_finished is not None and not 0 <= self.ttl_after_finished < float("inf"):
            raise UsageError("the time to keep an ended job can't be negative: leave it out to keep it.")
        if self.log_limit is not None and self.log_limit <= 0:
            raise UsageError("the log's limit must be more than 0: leave it out to keep all.")
        for name in ("", "cpus", "memory"):
            if name in self.slots:
                raise UsageError(f"{name or 'no name'} can't be a slot: give cpus and memory as such, others a name.")
        needs = {"cpus": self.cpus, "memory": self.memory, **self.slots}
        for what, amount in needs.items():
            if not 0 <= amount < float("inf"):
                raise UsageError(f"{what} can't be {amount}: give 0 or more.")

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
