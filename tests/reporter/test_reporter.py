"""The outbox drained into sinks that answer, fail, hang and die."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from programs.facts import environment, nothing_left
from programs.wrapping import reap_orphans, until
from reporter.conftest import Scripted, ended

from raydp_wrap.errors import StoreError
from raydp_wrap.model import Submission, TerminalState
from raydp_wrap.reporter import reporter
from raydp_wrap.reporter.backoff import MAX_TRIES
from raydp_wrap.reporter.conclude import conclude
from raydp_wrap.reporter.reporter import Reporter, Told
from raydp_wrap.reporter.reporting import report, sentence
from raydp_wrap.reporter.unstored import Unstored
from raydp_wrap.store import Claimer, DeliveryStatus, Settlement, Store
from raydp_wrap.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from raydp_wrap.store import Delivery

PENDING, DELIVERED, REJECTED, FAILED = (
    DeliveryStatus.PENDING,
    DeliveryStatus.DELIVERED,
    DeliveryStatus.REJECTED,
    DeliveryStatus.FAILED,
)


def told_of(store: Store, folder: Path, *scripts: str, patience: float = 20.0) -> dict[str, DeliveryStatus]:
    """What became of one submission's reports to sinks with SCRIPTS."""
    submission = Submission("s", "n", 1.0, tuple(f"{folder}?{script}" for script in scripts))
    store.submit(submission)
    deliveries = store.finish(ended(submission), claimer=Claimer.of_this_process(), lease=60)
    with nothing_left():
        told = Reporter(store, Scripted).deliver(deliveries, patience)
    return {one.sink.partition("?")[2]: one.status for one in told}


def tries(folder: Path, position: int = 1) -> int:
    path = folder / f"s.{position}.log"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.requirement("store-2.3")
def test_each_sink_is_told_once_and_apart_from_the_others(store: Store, folder: Path) -> None:
    scripts = ["yes", "no", "raise,yes", "die", "later=0,yes"]
    assert told_of(store, folder, *scripts) == {
        "yes": DELIVERED,
        "no": REJECTED,
        "raise,yes": DELIVERED,
        "die": DELIVERED,  # it had applied it: the second time it says so
        "later=0,yes": DELIVERED,
    }
    assert [tries(folder, n) for n in range(1, 6)] == [1, 1, 2, 2, 2]
    assert sorted(path.name for path in folder.glob("*.applied")) == [f"s.{n}.applied" for n in (1, 3, 4, 5)]
    (row,) = store.undelivered()
    assert (row.status, row.last_error) == (REJECTED, "no")


@pytest.mark.requirement("store-2.3", "fault-30")
def test_a_sink_that_applies_and_dies_before_it_answers_gets_the_same_key_again(store: Store, folder: Path) -> None:
    told_of(store, folder, "die,yes")
    assert tries(folder) == 2
    assert len(list(folder.glob("*.applied"))) == 1


@pytest.mark.requirement("store-2.4", "fault-31")
def test_patience_has_an_end_and_the_rest_stays(store: Store, folder: Path) -> None:
    assert told_of(store, folder, "hang", "yes", patience=1.0) == {"hang": PENDING, "yes": DELIVERED}
    (row,) = store.undelivered()
    assert (row.status, row.tries, row.claimed, row.last_error) == (PENDING, 1, False, "no answer in time")


@pytest.mark.requirement("store-2.4")
def test_one_try_has_an_end_and_is_tried_again(store: Store, folder: Path) -> None:
    submission = Submission("s", "n", 1.0, (f"{folder}?hang,yes",))
    store.submit(submission)
    deliveries = store.finish(ended(submission), claimer=Claimer.of_this_process(), lease=60)
    (told,) = Reporter(store, Scripted, try_timeout=0.3).deliver(deliveries, 20)
    assert told.status is DELIVERED
    assert tries(folder) == 2


@pytest.mark.requirement("store-2.3", "fault-32")
def test_a_sink_that_wants_to_be_left_alone_is(store: Store, folder: Path) -> None:
    before = time.time()
    assert told_of(store, folder, "later=1000") == {"later=1000": PENDING}
    (row,) = store.undelivered()
    assert row.next_try_at >= before + 1000
    assert Reporter(store, Scripted).drain(5) == []
    assert tries(folder) == 1


@pytest.mark.requirement("store-2.3", "raydp-2")
def test_tries_are_bounded_and_what_was_given_up_is_sent_on_request(store: Store, folder: Path) -> None:
    submission = Submission("s", "n", 1.0, (f"{folder}?{'later=0,' * (MAX_TRIES + 2)}yes",))
    store.submit(submission)
    deliveries = store.finish(ended(submission), claimer=Claimer.of_this_process(), lease=60)
    for _ in range(MAX_TRIES):
        Reporter(store, Scripted).deliver(deliveries, 0.2)
        later = time.time() + 400
        deliveries = store.claim(Claimer.of_this_process(), now=later, lease=60)
        if not deliveries:
            break
    (row,) = store.undelivered()
    assert row.status is FAILED
    assert store.claim(Claimer.of_this_process(), now=time.time() + 10_000) == []
    (again,) = store.claim(Claimer.of_this_process(), retry_failed=True)
    assert again.tries == 0


@pytest.mark.requirement("store-2.3", "raydp-2")
def test_what_was_put_off_is_sent_within_the_same_call(store: Store, folder: Path) -> None:
    submission = Submission("s", "n", 1.0, (f"{folder}?raise,raise,yes",))
    store.submit(submission)
    store.finish(ended(submission))
    (told,) = Reporter(store, Scripted).drain(20)
    assert told.status is DELIVERED
    assert tries(folder) == 3


@pytest.mark.requirement("store-2.4")
def test_secrets_in_what_a_sink_says_are_hidden(store: Store, folder: Path) -> None:
    told_of(store, folder, "raise", patience=0.2)
    (row,) = store.undelivered()
    assert "RuntimeError" in row.last_error
    assert "abc" not in row.last_error


@pytest.mark.requirement("fault-34", "store-2.3")
def test_a_sender_that_lost_its_claim_settles_nothing(store: Store, folder: Path) -> None:
    submission = Submission("s", "n", 1.0, (f"{folder}?yes",))
    store.submit(submission)
    old = store.finish(ended(submission), claimer=Claimer.of_this_process(), lease=1, now=time.time() - 100)
    (new,) = store.claim(Claimer.of_this_process(), lease=60)
    assert Reporter(store, Scripted).deliver(old, 10) == []
    (row,) = store.undelivered()
    assert row.claimed
    assert store.settle(new, DELIVERED)


@pytest.mark.requirement("store-2.4")
def test_a_store_that_fails_at_the_end_loses_nothing(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fail(*_: object, **__: object) -> bool:
        asked.append(1)
        raise StoreError("the disk is full")

    submission = Submission("s", "n", 1.0, tuple(f"{folder}?{script}" for script in ("yes", "later=1", "no")))
    store.submit(submission)
    deliveries = store.finish(ended(submission), claimer=Claimer.of_this_process(), lease=60)
    with monkeypatch.context() as patch, nothing_left():
        patch.setattr(Store, "settle_all", fail)
        told = Reporter(store, Scripted).deliver(deliveries, 20)
    assert len(asked) == 1  # each time it may take as long as the store's patience
    said = {one.sink.partition("?")[2]: (one.status, one.text) for one in told}
    assert said == {
        "yes": (DELIVERED, "this could not be noted, so it is sent again: the disk is full"),
        "later=1": (PENDING, "later"),
        "no": (REJECTED, "no"),
    }
    # It will be sent again, and applied once by its key.
    later = time.time() + 100
    assert len(store.claim(Claimer.of_this_process(), now=later)) == 3


@pytest.mark.requirement("store-2.4")
def test_a_store_that_others_hold_is_asked_once(
    store: Store, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time takes the store's whole patience, and comes on top of ours."""
    scripts = ["yes", "yes,2", "no", "later=0", "hang", "hang,2"]
    submission = Submission("s", "n", 1.0, tuple(f"{folder}?{script}" for script in scripts))
    store.submit(submission)
    asked = count_transactions(monkeypatch)
    with Store(home, timeout=0.1) as impatient:
        deliveries = impatient.finish(ended(submission), claimer=Claimer.of_this_process(), lease=60)
        asked.clear()
        holder = apsw.Connection(str(home / "store.db"))
        try:
            holder.execute("BEGIN IMMEDIATE")
            told = Reporter(impatient, Scripted).deliver(deliveries, 1.0)
        finally:
            holder.close()
    assert len(asked) == 1
    statuses = [
        PENDING if one.startswith(("later", "hang")) else REJECTED if one == "no" else DELIVERED for one in scripts
    ]
    assert {one.sink.partition("?")[2]: one.status for one in told} == dict(zip(scripts, statuses, strict=True))


def count_transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    asked: list[int] = []
    write = Database.write

    def counted(self: Database) -> AbstractContextManager[object]:
        asked.append(1)
        return write(self)

    monkeypatch.setattr(Database, "write", counted)
    return asked


@pytest.mark.requirement("store-2.4")
def test_those_given_up_at_the_end_are_noted_in_one_step(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = count_transactions(monkeypatch)
    scripts = [f"hang,{n}" for n in range(6)]
    assert set(told_of(store, folder, *scripts, patience=0.5).values()) == {PENDING}
    assert len(asked) == 3  # submit, finish, and this


class Watched:
    """A store's outbox that keeps what was asked."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.claimed: list[int] = []
        self.looked = 0

    def claim(self, claimer: Claimer, **more: Any) -> list[Delivery]:
        found = self.store.claim(claimer, **more)
        self.claimed.append(len(found))
        return found

    def settle_all(self, settlements: Iterable[Settlement]) -> list[bool]:
        return self.store.settle_all(settlements)

    def release(self, deliveries: Iterable[Delivery]) -> None:
        self.store.release(deliveries)

    def next_due(self) -> float | None:
        self.looked += 1
        return self.store.next_due()


@pytest.mark.requirement("store-2.4")
def test_an_answer_that_came_while_the_store_took_its_time_counts(store: Store, folder: Path) -> None:
    submission = Submission("s", "n", 1.0, (f"{folder}?no", f"{folder}?slow"))
    store.submit(submission)
    deliveries = store.finish(ended(submission), claimer=Claimer.of_this_process(), lease=60)
    end = time.monotonic() + 1.0

    class Slow(Watched):
        def settle_all(self, settlements: Iterable[Settlement]) -> list[bool]:
            with contextlib.suppress(ChildProcessError):  # the slow one has answered, too
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            until(lambda: time.monotonic() > end, "the patience has come to its end")
            return super().settle_all(settlements)

    told = Reporter(Slow(store), Scripted).deliver(deliveries, end - time.monotonic())
    assert [one.status for one in told] == [REJECTED, DELIVERED]


@pytest.mark.requirement("fault-34", "store-2.3")
def test_no_more_is_claimed_than_is_started_at_once(store: Store, folder: Path) -> None:
    """A claim that waits runs out, and its report is sent by another, or by us a second time."""
    submission = Submission("s", "n", 1.0, tuple(f"{folder}?hang,{n}" for n in range(40)))
    store.submit(submission)
    store.finish(ended(submission))
    watched = Watched(store)
    told = Reporter(watched, Scripted, try_timeout=0.3).drain(20)
    assert max(watched.claimed) <= 16
    assert [one.status for one in told] == [DELIVERED] * 40
    assert {tries(folder, position) for position in range(1, 41)} == {2}


@pytest.mark.requirement("raydp-2", "store-2.3")
def test_more_that_were_given_up_than_are_sent_at_once(store: Store, folder: Path) -> None:
    submission = Submission("s", "n", 1.0, tuple(f"{folder}?yes,{n}" for n in range(40)))
    store.submit(submission)
    deliveries = store.finish(ended(submission), claimer=Claimer.of_this_process(), lease=60)
    store.settle_all([Settlement(delivery, FAILED) for delivery in deliveries])
    told = Reporter(store, Scripted).drain(20)
    assert [one.status for one in told] == [DELIVERED] * 40
    assert {tries(folder, position) for position in range(1, 41)} == {1}


@pytest.mark.requirement("fault-34", "store-2.3")
def test_what_waits_until_its_claim_may_run_out_is_claimed_anew(store: Store, folder: Path) -> None:
    submission = Submission("s", "n", 1.0, tuple(f"{folder}?{'hang' if n < 16 else 'yes'},{n}" for n in range(40)))
    store.submit(submission)
    deliveries = store.finish(ended(submission), claimer=Claimer.of_this_process(), lease=60)
    watched = Watched(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporter, "LEASE", 0.6)
        told = Reporter(watched, Scripted, try_timeout=0.5).deliver(deliveries, 5)
    assert watched.claimed  # it gave them back, and took them again, no more than it can start
    assert max(watched.claimed) <= 16
    assert [one.status for one in told] == [DELIVERED] * 40
    assert {tries(folder, position) for position in range(17, 41)} == {1}


@pytest.mark.requirement("fault-34", "store-2.3")
def test_a_claim_that_ran_out_while_it_is_sent_is_renewed_and_not_sent_twice(store: Store, folder: Path) -> None:
    """As after a stop of this process."""
    submission = Submission("s", "n", 1.0, (f"{folder}?slow",))
    store.submit(submission)
    deliveries = store.finish(ended(submission), claimer=Claimer.of_this_process(), lease=0.2)
    (told,) = Reporter(store, Scripted).deliver(deliveries, 20, more=True)
    assert told.status is DELIVERED
    assert tries(folder) == 1
    assert store.undelivered() == []


@pytest.mark.requirement("store-2.3", "fault-32")
def test_a_sink_that_asks_for_days_is_left_alone(store: Store, folder: Path) -> None:
    assert told_of(store, folder, "later=172800") == {"later=172800": PENDING}
    assert Reporter(store, Scripted).drain(5) == []
    assert tries(folder) == 1


@pytest.mark.requirement("fault-34", "store-2.3")
def test_what_another_has_settled_is_not_waited_for(store: Store, home: Path, folder: Path) -> None:
    submission = Submission("s", "n", 1.0, (f"{folder}?yes",))
    store.submit(submission)
    (others,) = store.finish(ended(submission), claimer=Claimer.of_this_process(), lease=60)
    watched = Watched(store)

    def settle() -> None:
        until(lambda: watched.looked, "it has seen that there is one")
        with Store(home) as another:
            another.settle(others, DELIVERED)

    thread = threading.Thread(target=settle)
    thread.start()
    assert Reporter(watched, Scripted).drain(1000) == []  # else the test's own time is up
    thread.join()
    assert watched.looked < 100  # it does not ask all the time


def test_an_outcome_that_the_store_could_not_take_is_told_to_many(folder: Path) -> None:
    submission = Submission("s", "n", 1.0, tuple(f"{folder}?raise,yes,{n}" for n in range(40)))
    unstored = Unstored(submission, ended(submission))
    told = Reporter(unstored, Scripted).deliver(unstored.claim(Claimer.of_this_process()), 20)
    assert [one.status for one in told] == [DELIVERED] * 40


@pytest.mark.requirement("fault-27")
def test_no_process_to_be_had_is_a_try_that_failed(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", fail)
        assert told_of(store, folder, "yes", patience=0.2) == {"yes": PENDING}
    (row,) = store.undelivered()
    assert "nothing can be started" in row.last_error


def test_more_sinks_than_are_told_at_once(store: Store, folder: Path) -> None:
    scripts = [f"yes,{n}" for n in range(50)]
    assert set(told_of(store, folder, *scripts).values()) == {DELIVERED}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (DELIVERED, ""),
        (REJECTED, "rejected by webhook:https://h/"),
        (PENDING, "sends it later"),
        (FAILED, "sends it later"),
    ],
)
def test_what_a_person_is_told(status: DeliveryStatus, words: str) -> None:
    said = sentence(Told("s", "webhook:https://user:pw@h/?token=abc", TerminalState.FAILED, status, "why"))
    assert words in said
    assert bool(said) == bool(words)
    assert "abc" not in said
    assert "pw@" not in said


RACER = """
import sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from reporter.conftest import Scripted, ended
from raydp_wrap.model import Submission
from raydp_wrap.reporter.conclude import conclude
from raydp_wrap.reporter.reporting import report
from raydp_wrap.store import Store
me, home, folder = int(sys.argv[4]), Path(sys.argv[1]), sys.argv[2]
found = []
with Store(home) as store:
    submission = store.submission("s")
    print("ready", flush=True)
    sys.stdin.readline()
    start = threading.Barrier(8)
    def race(number):
        start.wait()
        mine = ended(submission, 1 + me * 8 + number)
        found.append(conclude(store, submission, mine, print, run=None))
    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    for one in found:
        report(one, Scripted, 20, print)
print(sum(one.decided for one in found), *{one.outcome.exit_code for one in found})
"""


@pytest.mark.requirement("raydp-1", "outcome-1.1")
def test_8_processes_of_8_threads_race_to_report(store: Store, home: Path, folder: Path) -> None:
    """One decision, which all are told of; each sink is sent one report."""
    store.submit(Submission("s", "n", 1.0, (f"{folder}?yes", f"{folder}?yes,2")))
    tests = str(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(home), str(folder), tests, str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), text=True,
        )
        for number in range(8)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    said = []
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    for racer in racers:
        out, _ = racer.communicate(timeout=60)
        said.append(out.split())
    assert sum(int(words[0]) for words in said) == 1
    outcome = store.outcome("s")
    assert outcome is not None
    assert {code for words in said for code in words[1:]} == {str(outcome.exit_code)}
    assert store.undelivered() == []
    assert [tries(folder, n) for n in (1, 2)] == [1, 1]


@pytest.mark.requirement("raydp-1", "outcome-1.1", "kube-2")
def test_64_threads_race_to_report(store: Store, folder: Path) -> None:
    submission = Submission("s", "n", 1.0, (f"{folder}?yes",))
    store.submit(submission)
    start, found = threading.Barrier(64), []

    def race(number: int) -> None:
        start.wait()
        found.append(conclude(store, submission, ended(submission, number), print, run=None))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.decided for one in found) == 1
    assert len({one.outcome.exit_code for one in found}) == 1
    for one in found:
        report(one, Scripted, 20, print)
    assert tries(folder) == 1


SENDER = """
import sys
sys.path.insert(0, sys.argv[2])
from reporter.conftest import Scripted
from raydp_wrap.reporter.reporter import Reporter
from raydp_wrap.store import Store
with Store(sys.argv[1]) as store:
    print("ready", flush=True)
    Reporter(store, Scripted).drain(60)
"""


def kill_senders(store: Store, home: Path, folder: Path, times: int, submissions: int) -> None:
    tests = str(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for number in range(submissions):
        submission = Submission(f"s{number}", "n", 1.0, (f"{folder}?yes",))
        store.submit(submission)
        store.finish(ended(submission))
    for number in range(times):
        sender = subprocess.Popen(
            [sys.executable, "-c", SENDER, str(home), tests], stdout=subprocess.PIPE, env=environment()
        )
        assert sender.stdout
        assert sender.stdout.readline() == b"ready\n"
        before = len(list(folder.glob("*.log")))
        until(
            lambda wanted=before + number % 3: (  # type: ignore[misc]
                len(list(folder.glob("*.log"))) > wanted or not store.undelivered()
            ),
            "it sends",
        )
        sender.send_signal(signal.SIGKILL)
        sender.communicate()
    reap_orphans()
    Reporter(store, Scripted).drain(60)
    assert store.undelivered() == []
    assert len(list(folder.glob("*.applied"))) == submissions


@pytest.mark.requirement("store-2.5", "store-2.3")
def test_senders_killed_while_they_send(store: Store, home: Path, folder: Path) -> None:
    kill_senders(store, home, folder, 5, 60)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requirement("store-2.5", "store-2.3")
def test_100_senders_killed_while_they_send(store: Store, home: Path, folder: Path) -> None:
    kill_senders(store, home, folder, 100, 1000)
