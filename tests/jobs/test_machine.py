"""Random orders of what clients do and what befalls a real home, against a small model of what must come of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from jobs.real_home import RealHome, Supervisors, until

from raydp_wrap.errors import AlreadyDecidedError, UsageError
from raydp_wrap.job import ChangeKind
from raydp_wrap.model import Reason
from raydp_wrap.request import Phase, RetryPolicy

# Says that it began, and ends as it is told to.
SCRIPT = 'echo $$ >>"$1.$RAYDP_WRAP_ATTEMPT"; read code <"$1.fifo"; exit $code'
MOST_JOBS = 5
INDEX = st.integers(0, MOST_JOBS - 1)


@dataclass
class Model:
    """What one job has come to, as far as the clients can know.

    ``known`` is false between something that races with the supervisor and the next look; ``owed`` is an end (an exit
    code, None: it was lost) that came while nobody supervised.
    """

    name: str
    limit: int
    suspended: bool
    fifo: int
    end: Phase | None = None
    code: int | None = None
    failed: int = 0
    suspensions: int = 0
    known: bool = False
    stopped: bool = False
    owed: tuple[int | None] | None = None

    def ended(self, code: int | None) -> None:
        """An attempt ended by itself, with CODE, or was lost."""
        if code == 0:
            self.end, self.code = Phase.FINISHED, 0
            return
        self.failed += 1
        if code is None and self.stopped:
            # Nobody saw how it ended, but a stop had been asked for.
            self.failed -= 1
            self.end = Phase.KILLED
        elif self.stopped or self.failed > self.limit:
            self.end, self.code = Phase.FAILED, code


class Machine(RuleBasedStateMachine):
    """A home, its supervisors, and its clients."""

    supervisors: Supervisors

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="raydp-wrap-machine-"))
        self.home = RealHome(self.folder, self.supervisors)
        self.models: list[Model] = []
        self.ends: dict[str, tuple] = {}

    def teardown(self) -> None:
        try:
            if self.supervised:
                self.settle()
            else:
                self.home.start()
                self.settle()
            self.look()
        finally:
            self.home.close()
            for model in self.models:
                os.close(model.fifo)
            shutil.rmtree(self.folder)

    @property
    def supervised(self) -> bool:
        return bool(self.home.supervisor)

    @initialize()
    def begin(self) -> None:
        self.home.start()
        for limit in (0, 2):
            self.submit(limit=limit, suspend=False)

    # -- what clients do ----------------------------------------------------------------------

    def started(self, model: Model, number: int) -> int:
        note = self.folder / f"{model.name}.{number}"
        return len(note.read_text(encoding="ascii").split()) if note.exists() else 0

    @precondition(lambda self: len(self.models) < MOST_JOBS)
    @rule(limit=st.sampled_from((0, 0, 1, 3)), suspend=st.sampled_from((False, False, False, True)))
    def submit(self, *, limit: int, suspend: bool) -> None:
        name = f"job{len(self.models)}"
        path = self.folder / name
        os.mkfifo(f"{path}.fifo")
        fifo = os.open(f"{path}.fifo", os.O_RDWR)
        self.models.append(Model(name, limit, suspend, fifo))
        for _ in range(2):  # the same again is the same job
            self.home.submit(
                name, "sh", "-c", SCRIPT, "sh", str(path), retry=RetryPolicy(limit, backoff_first=0.01), suspend=suspend
            )

    @rule(index=INDEX, grace=st.sampled_from((None, 0.0)))
    def stop(self, index: int, grace: float | None) -> None:
        model = self.models[index % len(self.models)]
        if model.end is not None and model.known:
            with pytest.raises(AlreadyDecidedError):
                self.home.stop(model.name)
            return
        if model.stopped or model.end is not None:
            return
        inactive = not self.home.job(model.name).active
        job = self.home.stop(model.name, grace)
        model.stopped = True
        if job.phase.terminal:
            assert inactive or self.supervised
        if model.owed is None:
            model.end = Phase.KILLED
        model.known = False

    @rule(index=INDEX)
    def suspend(self, index: int) -> None:
        model = self.models[index % len(self.models)]
        if model.stopped or (model.end is not None and not model.known):
            return
        if model.end is not None:
            with pytest.raises(AlreadyDecidedError):
                self.home.suspend(model.name)
            return
        self.home.suspend(model.name)
        model.suspended, model.known = True, False
        model.suspensions += 1

    @rule(index=INDEX)
    def resume(self, index: int) -> None:
        model = self.models[index % len(self.models)]
        if model.end is not None or model.stopped:
            return
        if not model.suspended:
            with contextlib.suppress(UsageError):  # it may just be ended for a suspension that was taken back
                self.home.resume(model.name)
            return
        self.home.resume(model.name)
        model.suspended, model.known = False, False

    def running(self, index: int) -> Model | None:
        """A job that certainly runs, and waits to be told its end."""
        model = self.models[index % len(self.models)]
        if self.supervised and not model.known:
            self.settle()
        fit = model.known and model.end is None and not model.suspended and model.owed is None
        return model if fit else None

    def end(self, model: Model, code: int | None) -> None:
        """Have its attempt end by itself (or lose it), and wait for that."""
        job = self.home.job(model.name)
        if code is None:
            os.kill(self.home.pids(model.name, job.attempt)[0], signal.SIGKILL)
            return
        os.write(model.fifo, b"%d\n" % code)
        until((self.home.place(model.name, job.attempt) / "record").exists)

    @rule(index=INDEX, code=st.sampled_from((0, 1, 7, None)))
    def release(self, index: int, code: int | None) -> None:
        model = self.running(index)
        if model is None:
            return
        before = self.home.job(model.name).attempt
        self.end(model, code)
        model.known = False
        if not self.supervised:
            model.owed = (code,)
            return
        model.ended(code)

        def seen() -> bool:
            job = self.home.job(model.name)
            return job.phase.terminal or job.attempt > before

        until(seen, lambda: self.home.job(model.name))

    @rule(index=INDEX, code=st.sampled_from((0, 1, 7)))
    def release_as_the_supervisor_dies(self, index: int, code: int) -> None:
        model = self.running(index)
        if model is None or not self.supervised:
            return
        number = self.home.job(model.name).attempt
        os.write(model.fifo, b"%d\n" % code)
        self.home.kill()
        until((self.home.place(model.name, number) / "record").exists)
        model.ended(code)
        model.known = False
        self.home.start()
        self.settle()

    # -- what befalls the supervisor ----------------------------------------------------------

    @precondition(lambda self: self.supervised)
    @rule(how=st.sampled_from(("kill", "kill", "leave")))
    def unsupervised(self, how: str) -> None:
        (self.home.kill if how == "kill" else self.home.leave)()

    @precondition(lambda self: not self.supervised)
    @rule()
    def supervised_again(self) -> None:
        self.home.start()

    @precondition(lambda self: not self.supervised)
    @rule(step=st.sampled_from(("begin", "launch", "started", "restore", "decide", "retry", "suspended")))
    def supervised_by_one_that_dies(self, step: str) -> None:
        """Around that step, or by our hand, should it never come to it."""
        self.home.start(step, "after")
        self.home.kill()

    @precondition(lambda self: self.supervised)
    @rule()
    def settle(self) -> None:
        """Wait until all that was asked for is so."""
        for model in self.models:
            if model.owed is not None:
                (code,), model.owed = model.owed, None
                model.ended(code)
                if model.end is None and model.stopped:
                    model.end = Phase.KILLED

            def so(model: Model = model) -> bool:
                job = self.home.job(model.name)
                if model.end is not None:
                    return job.phase is model.end
                if model.suspended:
                    return job.phase is Phase.SUSPENDED
                up = job.phase is Phase.RUNNING and self.started(model, job.attempt) > 0
                return up and job.failed == model.failed  # else it is the one that has ended, and nobody has seen that

            until(so, lambda model=model: (model, self.home.job(model.name)))
            model.known = True

    # -- what always holds --------------------------------------------------------------------

    @invariant()
    def look(self) -> None:
        for model in self.models:
            job = self.home.job(model.name)
            starts = [self.started(model, number) for number in range(1, job.attempt + 2)]
            assert max(starts) <= 1, f"an attempt of {model.name} was started twice: {starts}"
            assert starts[-1] == 0, f"attempt {job.attempt + 1} of {model.name} was started, and is not in the store"
            counted = job.succeeded + job.failed + job.ignored + job.suspended
            assert counted <= job.attempt - job.active, job
            assert (job.succeeded == 1) == (job.phase is Phase.FINISHED), job
            assert job.suspended <= model.suspensions, (model, job)
            if job.phase.terminal:
                now = (job.phase, job.exit_code, job.signal, job.reason, job.attempt, job.succeeded, job.failed)
                assert self.ends.setdefault(model.name, now) == now, "a terminal state has changed"
                kinds = [change.kind for change in self.home.jobs.changes(0, model.name)]
                assert kinds.count(ChangeKind.ENDED) == 1
                assert (job.exit_code == 0) == (job.phase is Phase.FINISHED), job
            if model.known:
                self.compare(model)

    def compare(self, model: Model) -> None:
        job = self.home.job(model.name)
        assert job.failed == model.failed, (model, job)
        if model.end is not None:
            assert job.phase is model.end, (model, job)
            if model.code is not None:
                assert job.exit_code == model.code, (model, job)
            elif model.end is Phase.FAILED:
                assert job.reason == Reason.JOB_LOST.value, (model, job)


@pytest.fixture(scope="module", autouse=True)
def _supervisors(supervisors: Supervisors) -> None:
    Machine.supervisors = supervisors


def limits(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        phases=(Stage.reuse, Stage.generate),  # to shrink what waits in vain would take hours
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


class TestMachine(Machine.TestCase):
    pytestmark = pytest.mark.requirement("jobs-stateful", "jobs-1.1-terminal-once", "jobs-2.2-adopted")
    settings = limits(12, 25)


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestLong(Machine.TestCase):
    pytestmark = pytest.mark.requirement("jobs-stateful")
    settings = limits(100, 40)
