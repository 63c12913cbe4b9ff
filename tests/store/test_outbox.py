"""Claimed before it is sent, by one sender at a time; taken over when that one is late or dead."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from crash.harness import until
from store.making import ENV, SINKS, ended, home, submission

from raydp_wrap.store import Claimer, Delivery, DeliveryStatus, Settlement, Store
from raydp_wrap.store import records as store_records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["home"]

ME = Claimer.of_this_process()
T = 1_800_000_000.0
PENDING, DELIVERED = DeliveryStatus.PENDING, DeliveryStatus.DELIVERED
REJECTED, FAILED = DeliveryStatus.REJECTED, DeliveryStatus.FAILED


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store(home) as made:
        yield made


def decided(store: Store, job: str = "job", sinks: tuple[str, ...] = SINKS) -> None:
    store.submit(submission(job, sinks))
    store.finish(ended(job), now=T)


def status_of(store: Store) -> list[tuple[str, str, int, float, bool]]:
    return [(row.sink, row.status.value, row.tries, row.next_try_at - T, row.claimed) for row in store.undelivered()]


@pytest.fixture
def dead() -> Claimer:
    """A process that has ended, and that nobody has seen for what it was but itself."""
    program = (
        "from raydp_wrap.store import Claimer; import json; print(json.dumps(Claimer.of_this_process().to_dict()))"
    )
    out = subprocess.run([sys.executable, "-c", program], env=ENV, capture_output=True, check=True).stdout
    import json  # noqa: PLC0415

    found = Claimer.from_dict(json.loads(out))
    assert found.is_dead()
    return found


@pytest.mark.requirement("store-2.3")
def test_finish_claims_in_the_same_step(store: Store) -> None:
    store.submit(submission())
    store.bind("job", "app-1")
    first, second = store.finish(ended(), claimer=ME, lease=30, now=T)
    assert (first.submission_id, first.sink, first.tries) == ("job", SINKS[0], 0)
    assert first.outcome == store.outcome("job") == ended(app_id="app-1")
    assert (second.sink, second.token) == (SINKS[1], first.token)
    assert store.claim(ME, now=T + 29.9) == []
    assert store.next_due(T) == T + 30
    assert store.settle(first, DELIVERED, now=T)
    assert status_of(store) == [(SINKS[1], "pending", 1, 0, True)]


@pytest.mark.requirement("store-2.3")
def test_keys(store: Store) -> None:
    decided(store, "one", ("a", "b", "a"))
    decided(store, "two", ("b",))
    decided(store, "x" * 100, ("webhook:https://example.org/?token=secret",))
    claims = store.claim(ME, now=T)
    keys = [claim.key for claim in claims]
    assert len(set(keys)) == 4
    assert all(key.isprintable() and key.isascii() and len(key) <= 128 and "secret" not in key for key in keys)
    store.release(claims, now=T)
    assert {(claim.sink, claim.key) for claim in store.claim(ME, now=T)} == {(c.sink, c.key) for c in claims}


@pytest.mark.requirement("store-2.3")
def test_a_claim_is_one_senders(store: Store, home: Path) -> None:
    decided(store)
    with Store(home) as other:
        claims = store.claim(ME, lease=10, now=T)
        assert [claim.sink for claim in claims] == list(SINKS)
        assert other.claim(ME, now=T + 9.9) == []
        assert other.next_due(T) == T + 10


@pytest.mark.requirement("store-2.3", "fault-34")
def test_a_late_sender_is_fenced(store: Store) -> None:
    decided(store, sinks=("a",))
    (late,) = store.claim(ME, lease=10, now=T)
    (next_one,) = store.claim(ME, lease=10, now=T + 10)
    assert (next_one.key, next_one.tries) == (late.key, 1)
    assert next_one.token != late.token
    for status in DeliveryStatus:
        assert not store.settle(late, status, now=T + 11)
    store.release([late], now=T + 11)
    assert status_of(store) == [("a", "pending", 2, 0, True)]
    assert store.settle(next_one, REJECTED, error="no", now=T + 12)
    assert not store.settle(next_one, DELIVERED, now=T + 13), "a claim settles once"
    assert status_of(store) == [("a", "rejected", 2, 12, False)]


@pytest.mark.requirement("store-2.3", "fault-34")
def test_a_late_sender_that_nobody_has_replaced_is_heard(store: Store) -> None:
    decided(store, sinks=("a",))
    (late,) = store.claim(ME, lease=10, now=T)
    assert store.settle(late, DELIVERED, now=T + 1000)
    assert store.undelivered() == []


@pytest.mark.requirement("store-2.3")
def test_the_claims_of_the_dead_are_free(store: Store, dead: Claimer) -> None:
    decided(store, sinks=("a",))
    assert len(store.claim(dead, lease=3600, now=T)) == 1
    (claim,) = store.claim(ME, now=T)
    assert claim.tries == 1


@pytest.mark.requirement("store-2.3")
def test_a_real_senders_claims_outlive_it_not(store: Store, home: Path) -> None:
    decided(store)
    program = (
        "import sys; from raydp_wrap.store import Store, Claimer\n"
        f"print(len(Store(sys.argv[1]).claim(Claimer.of_this_process(), lease=600, now={T})), flush=True)\n"
        "sys.stdin.read()"
    )
    sender = subprocess.Popen(
        [sys.executable, "-c", program, str(home)], env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert sender.stdout
        assert sender.stdout.readline() == b"2\n"
        assert store.claim(ME, now=T) == []
        sender.kill()
        # Not reaped yet: a zombie sends nothing either.
        assert len(until(lambda: store.claim(ME, now=T), "the claims are free")) == 2
    finally:
        sender.kill()
        sender.communicate()


@pytest.mark.requirement("store-2.3")
def test_what_is_not_due_waits(store: Store) -> None:
    decided(store, sinks=("a",))
    (claim,) = store.claim(ME, now=T)
    assert store.settle(claim, PENDING, next_try_at=T + 60, error="503", now=T + 1)
    assert store.undelivered()[0].last_error == "503"
    assert store.claim(ME, now=T + 59) == []
    assert store.next_due(T) == T + 60
    assert [claim.tries for claim in store.claim(ME, now=T + 60)] == [1]


@pytest.mark.requirement("store-2.3", "fault-22")
@pytest.mark.parametrize("year", [365 * 86400.0])
def test_a_clock_that_was_moved_back_holds_up_nothing(store: Store, year: float) -> None:
    decided(store, sinks=("a", "b"))
    waiting, _ = store.claim(ME, lease=60, now=T)
    store.settle(waiting, PENDING, next_try_at=T + 60, now=T)
    assert store.next_due(T - year) == T - year
    assert len(store.claim(ME, now=T - year)) == 2


@pytest.mark.requirement("store-2.3")
def test_given_up_until_asked_for(store: Store) -> None:
    decided(store, sinks=("a", "b", "c"))
    one, two, three = store.claim(ME, now=T)
    assert store.settle_all(
        [Settlement(one, FAILED, error="5 tries"), Settlement(two, REJECTED), Settlement(three, DELIVERED)], now=T
    ) == [True, True, True]
    assert store.next_due(T) is None
    assert store.claim(ME, now=T + 1e9) == []
    (again,) = store.claim(ME, now=T, retry_failed=True)
    assert (again.sink, again.tries) == ("a", 0)
    assert store.settle(again, PENDING, next_try_at=T + 5, now=T)
    assert [(row.sink, row.status) for row in store.undelivered()] == [("a", PENDING), ("b", REJECTED)]


@pytest.mark.requirement("store-2.3")
def test_released_is_untried(store: Store) -> None:
    decided(store, sinks=("a",))
    claims = store.claim(ME, now=T)
    store.release(claims, now=T)
    assert status_of(store) == [("a", "pending", 0, 0, False)]
    assert store.claim(ME, now=T)[0].tries == 0


@pytest.mark.requirement("store-2.3")
def test_of_one_submission_and_so_many(store: Store) -> None:
    for number in range(3):
        decided(store, f"job-{number}")
    assert [claim.submission_id for claim in store.claim(ME, submission_id="job-1", now=T)] == ["job-1"] * 2
    assert len(store.claim(ME, limit=3, now=T)) == 3
    assert len(store.claim(ME, now=T)) == 1


@pytest.mark.requirement("store-2.3")
def test_a_late_app_id_makes_it_due(store: Store) -> None:
    decided(store, sinks=("waits", "is being sent"))
    waits, sent = store.claim(ME, now=T)
    assert waits.outcome.app_id is None
    store.settle(waits, PENDING, next_try_at=T + 3600, now=T)
    store.bind("job", "app-1", now=T + 1)
    assert [(claim.sink, claim.outcome.app_id) for claim in store.claim(ME, now=T + 1)] == [("waits", "app-1")]
    # This one was claimed before the id was known, and is given back after.
    store.settle(sent, PENDING, next_try_at=T + 3600, now=T + 2)
    assert [claim.sink for claim in store.claim(ME, now=T + 2)] == ["is being sent"]


def test_errors_are_bounded_and_any_text(store: Store) -> None:
    decided(store, sinks=("a",))
    (claim,) = store.claim(ME, now=T)
    store.settle(claim, PENDING, error="\0\udcff" * 100_000, now=T)
    assert len(store.undelivered()[0].last_error) == 1000


@pytest.mark.parametrize("lease", [0, -1, 3601, float("nan")])
def test_what_can_be_no_lease(store: Store, lease: float) -> None:
    decided(store)
    with pytest.raises(ValueError, match="a lease is"):
        store.claim(ME, lease=lease)


def test_an_outcome_of_a_newer_version_holds_up_no_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    decided(store, "new", ("a",))
    decided(store, "known", ("a",))
    dump = store_records.dump
    with monkeypatch.context() as patch:
        patch.setattr(store_records, "dump", lambda document: dump({**document, "state": "PAUSED"}))
        store.submit(submission("newer", ("a",)))
        store.finish(ended("newer"), now=T - 1)
    assert {claim.submission_id for claim in store.claim(ME, limit=2, now=T)} == {"new", "known"}
    (put_off,) = [row for row in store.undelivered() if row.submission_id == "newer"]
    assert (put_off.tries, put_off.next_try_at, put_off.claimed) == (0, T + 60, False)
    assert "newer raydp-wrap" in put_off.last_error


def test_a_delivery_shows_no_more_than_it_must(store: Store) -> None:
    decided(store)
    claim = store.claim(ME, now=T)[0]
    assert isinstance(claim, Delivery)
    assert set(claim.__dataclass_fields__) == {"submission_id", "sink", "key", "tries", "token", "outcome"}
