"""Who may start: order, limits, and nobody waits for ever."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from raydp_wrap.job import Capacity, Job, StopWish
from raydp_wrap.model import Submission
from raydp_wrap.moment import Moment
from raydp_wrap.request import Condition, Dependency, Phase, Request
from raydp_wrap.supervisor.queueing import Queue, blockers, effective, startable, why_waiting

NOW = Moment("boot", 1000.0, 1_740_830_400.0)
LARGE = Capacity(1000, {"cpus": 8.0, "memory": 64.0, "gpu": 2.0})


def a_job(place: int, *, phase: Phase = Phase.PENDING, active: bool = False, name: str = "", **asked: Any) -> Job:
    request = Request(("true",), **asked)
    return Job(Submission(f"j{place}", name, 0.0), request, phase, seq=place, place=place, active=active)


def running_job(place: int, **asked: Any) -> Job:
    return a_job(place, phase=Phase.RUNNING, active=True, **asked)


def order(job: Job) -> tuple[int, int]:
    return -job.request.priority, job.place


def taken(jobs: list[Job]) -> dict[str, float]:
    found: dict[str, float] = {}
    for job in jobs:
        for name, amount in job.request.needs.items():
            found[name] = found.get(name, 0.0) + amount
    return found


@pytest.mark.requirement("jobs-1.5-queue")
def test_first_come_first_served_within_a_priority() -> None:
    waiting = [a_job(4), a_job(2, priority=1), a_job(1), a_job(3, priority=1), a_job(5, priority=-1)]
    assert startable(waiting, [], LARGE) == ["j2", "j3", "j1", "j4", "j5"]


@pytest.mark.requirement("jobs-1.5-queue")
@pytest.mark.parametrize(("most", "expected"), [(0, []), (2, []), (3, ["j3"]), (5, ["j3", "j4", "j5"]), (None, None)])
def test_no_more_than_may_run_at_once(most: int | None, expected: list[str] | None) -> None:
    running = [running_job(1), running_job(2)]
    waiting = [a_job(place) for place in range(3, 200)]
    found = startable(waiting, running, effective(Capacity(most)))
    assert found == expected if expected is not None else len(found) == 98


@pytest.mark.requirement("jobs-1.5-slots")
def test_what_is_not_set_is_what_the_machine_has() -> None:
    found = effective(Capacity(None, {"gpu": 2.0, "cpus": 1.5}))
    memory = found.slots["memory"]
    assert (found.max_running, found.slots) == (100, {"cpus": 1.5, "gpu": 2.0, "memory": memory})
    with open("/proc/meminfo", encoding="ascii") as file:
        kib = int(file.readline().split()[1])
    assert memory == kib * 1024
    assert effective(Capacity(7)).max_running == 7
    assert effective(Capacity()).slots["cpus"] == len(os.sched_getaffinity(0))
    assert effective(found) == found


@pytest.mark.requirement("jobs-1.5-slots")
def test_who_needs_nothing_of_what_is_waited_for_overtakes() -> None:
    running = [running_job(1, slots={"gpu": 2.0})]
    waiting = [a_job(2, slots={"gpu": 1.0}), a_job(3, slots={"gpu": 1.0}, cpus=1.0), a_job(4, cpus=8.0), a_job(5)]
    assert startable(waiting, running, LARGE) == ["j4", "j5"]


@pytest.mark.requirement("jobs-1.5-slots")
def test_what_a_waiting_job_lacks_no_later_one_takes() -> None:
    running = [running_job(1, cpus=6.0)]
    waiting = [a_job(2, cpus=4.0), a_job(3, cpus=1.0), a_job(4)]
    assert startable(waiting, running, LARGE) == ["j4"]


@pytest.mark.requirement("jobs-1.5-slots")
def test_who_needs_two_things_has_one_kept_while_it_lacks_the_other() -> None:
    """Else those behind it take them by turns, and it never has both."""
    running = [running_job(1, slots={"gpu": 2.0})]
    waiting = [a_job(2, slots={"gpu": 1.0}, cpus=8.0), a_job(3, cpus=1.0)]
    assert startable(waiting, running, LARGE) == []


@pytest.mark.requirement("jobs-1.5-slots")
def test_only_the_first_who_lacks_something_has_the_rest_kept() -> None:
    running = [running_job(1, slots={"gpu": 2.0})]
    waiting = [a_job(2, slots={"gpu": 1.0}, cpus=1.0), a_job(3, slots={"gpu": 1.0}, cpus=7.0), a_job(4, cpus=7.0)]
    assert startable(waiting, running, LARGE) == ["j4"]


@pytest.mark.requirement("jobs-1.5-slots")
def test_who_lacks_two_things_keeps_both_from_those_behind_it() -> None:
    running = [running_job(1, slots={"gpu": 2.0, "licence": 1.0})]
    waiting = [
        a_job(2, slots={"gpu": 1.0}),
        a_job(3, slots={"gpu": 1.0, "licence": 2.0}),
        a_job(4, slots={"licence": 1.0}),
    ]
    assert startable(waiting, running, Capacity(9, {"gpu": 2.0, "licence": 2.0})) == []


@pytest.mark.requirement("jobs-1.5-slots")
@pytest.mark.parametrize("asked", [{"cpus": 9.0}, {"slots": {"licence": 1.0}}, {"cpus": 8.0, "slots": {"gpu": 3.0}}])
def test_who_needs_more_than_there_is_keeps_nobody_waiting(asked: dict[str, Any]) -> None:
    assert startable([a_job(1, **asked), a_job(2, cpus=8.0, slots={"gpu": 2.0})], [], LARGE) == ["j2"]


@pytest.mark.requirement("jobs-1.5-slots")
def test_tenths_add_up() -> None:
    capacity = Capacity(99, {"cpus": 1.0})
    assert len(startable([a_job(place, cpus=0.1) for place in range(20)], [], capacity)) == 10
    running = [running_job(1, cpus=0.1), running_job(2, cpus=0.2)]
    assert startable([a_job(3, cpus=0.7)], running, capacity) == ["j3"]


@pytest.mark.requirement("jobs-1.5-slots")
def test_a_limit_that_was_lowered_under_what_runs_starts_nobody() -> None:
    running = [running_job(1, cpus=6.0), running_job(2)]
    assert startable([a_job(3, cpus=0.5), a_job(4)], running, Capacity(9, {"cpus": 4.0})) == ["j4"]
    assert startable([a_job(3)], running, Capacity(1, {})) == []


AMOUNTS = st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 3.0])
ASKED = st.fixed_dictionaries(
    {
        "cpus": AMOUNTS,
        "memory": st.sampled_from([0, 1, 3, 8]),
        "slots": st.dictionaries(st.sampled_from(["gpu", "licence"]), AMOUNTS, max_size=2),
        "priority": st.sampled_from([0, 0, 0, 1, -1]),
    }
)
CAPACITIES = st.builds(
    Capacity,
    st.integers(0, 8),
    st.fixed_dictionaries({"cpus": AMOUNTS, "memory": st.sampled_from([0.0, 4.0, 8.0]), "gpu": AMOUNTS}),
)


def fits(needs: dict[str, float], slots: Any) -> bool:
    return all(amount <= slots.get(name, 0.0) + 1e-9 for name, amount in needs.items())


@pytest.mark.requirement("jobs-1.5-queue", "jobs-1.5-slots")
@given(st.lists(ASKED, max_size=14), st.lists(ASKED, max_size=4), CAPACITIES, st.randoms(use_true_random=False))
def test_limits_hold_and_order_is_kept(
    waiting_asked: list[Any], running_asked: list[Any], capacity: Capacity, chance: Any
) -> None:
    waiting = [a_job(place, **asked) for place, asked in enumerate(waiting_asked)]
    running = [running_job(100 + place, **asked) for place, asked in enumerate(running_asked)]
    shuffled = chance.sample(waiting, len(waiting))
    found = startable(shuffled, running, capacity)
    by_id = {job.submission_id: job for job in waiting}
    started = [by_id[one] for one in found]
    assert len(set(found)) == len(found)
    assert started == sorted(started, key=order)
    assert len(started) <= max(0, (capacity.max_running or 0) - len(running))
    before, after = taken(running), taken(running + started)
    for name in taken(started):
        assert after[name] <= capacity.slots.get(name, 0.0) + 1e-9
    # Whoever was overtaken lacked something, and of that nobody behind it has taken.
    free = {name: amount - before.get(name, 0.0) for name, amount in capacity.slots.items()}
    full = len(running) + len(started) >= (capacity.max_running or 0)
    for job in sorted(waiting, key=order):
        needs = job.request.needs
        if job in started:
            for name, amount in needs.items():
                free[name] -= amount
            continue
        behind = [one for one in started if order(one) > order(job)]
        if not behind and full:
            continue
        lacks = [name for name, amount in needs.items() if amount > free.get(name, 0.0) + 1e-9]
        kept = [
            other for other in waiting if order(other) < order(job) and other not in started
            and fits(other.request.needs, capacity.slots) and other.request.needs.keys() & needs.keys()
        ]  # fmt: skip
        assert lacks or kept, f"{job} was passed over"
        if fits(needs, capacity.slots):
            assert not any(name in one.request.needs for name in lacks for one in behind)


@pytest.mark.requirement("jobs-1.5-queue", "jobs-1.5-slots")
@given(st.lists(ASKED, min_size=1, max_size=6), ASKED, CAPACITIES, st.randoms(use_true_random=False))
def test_nobody_waits_for_ever(crowd: list[Any], asked: Any, capacity: Capacity, chance: Any) -> None:
    """Others of its priority come without end and stay for ever so long; it starts when those before it have ended."""
    ours = a_job(50, **{**asked, "priority": 0})
    if not fits(ours.request.needs, capacity.slots) or not capacity.max_running:
        return
    waiting = [a_job(place, **{**one, "priority": 0}) for place, one in enumerate(crowd)] + [ours]
    running: list[Job] = []
    for turn in range(400):
        for one in startable(waiting, running, capacity):
            job = next(job for job in waiting if job.submission_id == one)
            waiting.remove(job)
            running.append(job)
        if ours in running:
            return
        # One who came before it or has been there longest ends, by chance; and two more come.
        if running:
            running.pop(chance.randrange(len(running)))
        waiting += [a_job(100 + 2 * turn + n, **{**chance.choice(crowd), "priority": 0}) for n in (0, 1)]
    pytest.fail("it has not been started")


class QueueMachine(RuleBasedStateMachine):
    """The queue that is kept answers as one that is made anew."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.waiting: dict[str, Job] = {}
        self.running: dict[str, Job] = {}

    @rule(place=st.integers(0, 9), asked=ASKED)
    def wait(self, place: int, asked: Any) -> None:
        job = a_job(place, **asked)
        self.running.pop(job.submission_id, None)
        self.waiting[job.submission_id] = job
        self.queue.wait(job)

    @rule(place=st.integers(0, 9))
    def wait_again(self, place: int) -> None:
        if job := self.waiting.get(f"j{place}"):
            self.queue.leave(job.submission_id)
            self.queue.wait(job)

    @rule(place=st.integers(0, 9))
    def leave(self, place: int) -> None:
        self.waiting.pop(f"j{place}", None)
        self.running.pop(f"j{place}", None)
        self.queue.leave(f"j{place}")

    @rule(capacity=CAPACITIES)
    def start(self, capacity: Capacity) -> None:
        for one in self.queue.startable(capacity):
            self.running[one] = job = self.waiting.pop(one)
            self.queue.run(job)

    @rule(capacity=CAPACITIES)
    def ask(self, capacity: Capacity) -> None:
        expected = startable(list(self.waiting.values()), self.running.values(), capacity)
        assert self.queue.startable(capacity) == expected

    @invariant()
    def knows_who_waits(self) -> None:
        assert len(self.queue) == len(self.waiting)
        assert all(one in self.queue for one in self.waiting)


TestQueue = pytest.mark.requirement("jobs-1.5-queue")(QueueMachine.TestCase)


def wish() -> StopWish:
    return StopWish(0.0, 1, 1)


@pytest.mark.requirement("jobs-1.5-queue", "jobs-1.5-slots")
@pytest.mark.parametrize(
    ("job", "others", "capacity", "says"),
    [
        (a_job(5, phase=Phase.RUNNING, active=True), [], LARGE, ""),
        (a_job(5, active=True), [], LARGE, ""),
        (a_job(5, phase=Phase.SUSPENDING), [], LARGE, ""),
        (a_job(5, phase=Phase.FAILED), [], LARGE, ""),
        (a_job(5, phase=Phase.SUSPENDED), [], LARGE, "it is suspended: resume it"),
        (a_job(5, after=(Dependency("j1"),)), [running_job(1, name="load")], LARGE,
         "waits for job j1 (load) to finish"),
        (a_job(5, after=(Dependency("j0"), Dependency("j1", Condition.ANY))), [running_job(1)], LARGE,
         "waits for job j1 to end"),
        (a_job(5, after=(Dependency("j1"),)), [], LARGE, "it is about to be started"),
        (replace(a_job(5, phase=Phase.RETRYING), due=NOW.after(12)), [], LARGE,
         "waits for its next attempt, which is due in 12 s"),
        (replace(a_job(5, phase=Phase.RETRYING), due=NOW), [], LARGE, "it is about to be started"),
        (a_job(5), [running_job(1), running_job(2), a_job(3), a_job(4), a_job(6), a_job(7, priority=1)],
         Capacity(2, {}), "place 4 in the queue: 2 of 2 run"),
        (a_job(5), [running_job(1), a_job(3)], Capacity(2, {}), "place 2 in the queue"),
        # Those who don't wait to be started are not before it.
        (a_job(5), [running_job(1), replace(a_job(2), stop=wish()), a_job(3, phase=Phase.SUSPENDED),
                    replace(a_job(4), due=NOW.after(1)), a_job(0, after=(Dependency("j1"),)),
                    replace(a_job(8, priority=9), suspend=True)],
         Capacity(1, {}), "place 1 in the queue: 1 of 1 run"),
        (a_job(5, cpus=2.0), [running_job(1, cpus=7.5)], LARGE, "waits for 2 cpus: 0.5 of 8 are free"),
        (a_job(5, slots={"gpu": 1.0}), [running_job(1, slots={"gpu": 2.0})], LARGE,
         "waits for 1 gpu: 0 of 2 are free"),
        (a_job(5, memory=3 << 30), [running_job(1, memory=6 << 30)], Capacity(9, {"memory": 8.0 * (1 << 30)}),
         "waits for 3 GiB of memory: 2 GiB of 8 GiB are free"),
        (a_job(5, cpus=2.0), [running_job(1, cpus=4.0), a_job(3, cpus=6.0)], LARGE,
         "waits for 2 cpus, which those before it in the queue take or wait for"),
        (a_job(5, cpus=12.0), [], LARGE, "needs 12 cpus and there are 8 in all: raise that limit"),
        (a_job(5, slots={"x": 1.0}), [], LARGE, "needs 1 x and there are 0 in all: raise that limit"),
        (a_job(5, cpus=2.0), [], LARGE, "it is about to be started"),
    ],
)  # fmt: skip
def test_a_person_is_told_what_a_job_waits_for(job: Job, others: list[Job], capacity: Capacity, says: str) -> None:
    assert why_waiting(job, [*others, job], capacity, NOW) == says


@pytest.mark.requirement("jobs-1.5-queue", "jobs-1.5-slots")
@given(st.lists(ASKED, min_size=1, max_size=10), st.lists(ASKED, max_size=4), CAPACITIES)
def test_what_a_person_is_told_is_so(waiting_asked: list[Any], running_asked: list[Any], capacity: Capacity) -> None:
    waiting = [a_job(place, **asked) for place, asked in enumerate(waiting_asked)]
    running = [running_job(100 + place, **asked) for place, asked in enumerate(running_asked)]
    found = startable(waiting, running, capacity)
    for job in waiting:
        why = why_waiting(job, [*waiting, *running], capacity, NOW)
        assert (why == "it is about to be started") is (job.submission_id in found)


@pytest.mark.requirement("jobs-1.5-limits-checked")
@pytest.mark.parametrize(
    ("amount", "starts"),
    [
        (1e303, True),
        (float("inf"), True),
        (10**400, True),
        (-1e303, False),
        (float("-inf"), False),
        (float("nan"), False),
        ("8", False),
        (None, False),
    ],
)
def test_whatever_was_stored_is_counted(amount: Any, *, starts: bool) -> None:
    capacity = effective(Capacity("many", {"gpu": amount}))  # type: ignore[arg-type]
    assert startable([a_job(1, slots={"gpu": 2.0})], [], capacity) == (["j1"] if starts else [])
    assert startable([a_job(1)], [running_job(2, slots={"gpu": amount})], LARGE) == ["j1"]
    assert (why_waiting(a_job(1, slots={"gpu": 2.0}), [], capacity, NOW) == "it is about to be started") is starts


def test_what_blocks_is_what_has_not_ended() -> None:
    first, second = Dependency("j1"), Dependency("j2", Condition.ANY)
    assert list(blockers(a_job(5, after=(first, second)), {"j2", "j3"})) == [second]
