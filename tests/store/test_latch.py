"""Decided once, by whomever: threads, processes, and SQLite itself hold it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import apsw
import pytest
from store.making import ENV, PROGRAMS, SINKS, ended, home, submission

from raydp_wrap.errors import AlreadyDecidedError, UsageError
from raydp_wrap.model import TerminalState
from raydp_wrap.store import Claimer, Store

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["home"]


def rows(home: Path, query: str) -> list[object]:
    """As another program sees it."""
    connection = apsw.Connection(str(home / "store.db"))
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.mark.requirement("store-2.2")
def test_ids_are_kept_first(home: Path) -> None:
    with Store(home) as store:
        attempt = store.submit(submission())
        assert (attempt.submission_id, attempt.number, attempt.created_at) == ("job", 1, 1000.5)
    with Store(home) as store:
        assert store.submission("job") == submission()
        assert store.attempts("job") == [attempt]
        assert store.undecided() == [submission()]
        assert store.outcome("job") is None
        assert store.undelivered() == []
        assert store.add_attempt("job").number == 2
        assert store.add_attempt("job").number == 3
        assert [each.number for each in store.attempts("job")] == [1, 2, 3]


def test_what_is_not_there(home: Path) -> None:
    with Store(home) as store:
        assert store.submission("job") is None
        assert store.outcome("job") is None
        assert store.attempts("job") == []
        for do in (
            lambda: store.finish(ended()),
            lambda: store.bind("job", "app-1"),
            lambda: store.add_attempt("job"),
        ):
            with pytest.raises(UsageError, match="there is no submission job"):
                do()


def test_an_id_is_taken_once(home: Path) -> None:
    with Store(home) as store:
        store.submit(submission())
        with pytest.raises(UsageError, match="there is a submission job already"):
            store.submit(replace(submission(), name="another"))
        assert store.submission("job") == submission()


@pytest.mark.parametrize("bad", ["", "../x", "a/b", ".a", "a" * 101, "a\n", "é", "a b", "-rf"])
def test_what_can_be_no_id(home: Path, bad: str) -> None:
    with Store(home) as store:
        with pytest.raises(UsageError, match="can't be a submission id"):
            store.submit(submission(bad))
        assert store.undecided() == []


@pytest.mark.requirement("store-2.2")
def test_state_outcome_and_outbox_in_one_transaction(home: Path) -> None:
    with Store(home) as store:
        store.submit(submission(sinks=(*SINKS, SINKS[0])))
        assert store.finish(ended()) == []
        assert store.outcome("job") == ended()
        assert store.undecided() == []
        assert [(row.sink, row.status.value, row.tries, row.claimed) for row in store.undelivered()] == [
            (sink, "pending", 0, False) for sink in SINKS
        ]


@pytest.mark.requirement("store-2.2")
def test_nothing_of_a_decision_is_kept_when_its_outbox_can_not_be(home: Path) -> None:
    with Store(home) as store:
        store.submit(submission())
        rows(
            home, "CREATE TRIGGER no BEFORE INSERT ON outbox WHEN NEW.position = 2 BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with pytest.raises(Exception, match="refused a change"):
            store.finish(ended())
        assert store.outcome("job") is None
        assert store.undelivered() == []
        rows(home, "DROP TRIGGER no")
        store.finish(ended())
        assert len(store.undelivered()) == 2


def test_the_first_decision_stands(home: Path) -> None:
    with Store(home) as store:
        store.submit(submission())
        store.finish(ended())
        for later in (ended(), ended(state=TerminalState.KILLED)):
            with pytest.raises(AlreadyDecidedError, match="submission job is FAILED already") as caught:
                store.finish(later, claimer=Claimer.of_this_process())
            assert caught.value.outcome == ended()
        with pytest.raises(AlreadyDecidedError) as caught:
            store.add_attempt("job")
        assert caught.value.outcome == ended()
        assert store.outcome("job") == ended()
        assert len(store.undelivered()) == 2


def test_unknown_is_no_decision(home: Path) -> None:
    with Store(home) as store:
        store.submit(submission())
        with pytest.raises(ValueError, match="UNKNOWN"):
            store.finish(ended(state=TerminalState.UNKNOWN))


@pytest.mark.requirement("store-2.2")
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE submissions SET state = 'KILLED'",
        "UPDATE submissions SET state = 'UNKNOWN', outcome = NULL, decided_at = NULL",
        "UPDATE submissions SET outcome = '{}'",
        "UPDATE submissions SET decided_at = 1",
        "UPDATE submissions SET submission_id = 'other'",
        "INSERT INTO submissions (submission_id, name, created_at, state, document) VALUES ('x', '', 1, 'FAILED', '1')",
        "INSERT INTO submissions (submission_id, name, created_at, state, document) VALUES ('x', '', 1, 'LOST', '{}')",
        "INSERT INTO submissions (submission_id, name, created_at, document) VALUES ('x', '', 1, 'no json')",
    ],
)
def test_the_database_itself_refuses(home: Path, change: str) -> None:
    with Store(home) as store:
        store.submit(submission())
        store.finish(ended())
        with pytest.raises(apsw.ConstraintError):
            rows(home, change)
        assert store.outcome("job") == ended()


def test_an_app_id_may_come_late(home: Path) -> None:
    with Store(home) as store:
        store.submit(submission())
        assert store.bind("job", "app-1")
        assert not store.bind("job", "app-1")
        assert store.bind("job", "app-2"), "a later attempt's"
        found = store.submission("job")
        assert found is not None
        assert found.app_id == "app-2"
        store.finish(ended())
        assert store.outcome("job") == ended(app_id="app-2")
        with pytest.raises(UsageError, match="has ended as app-2"):
            store.bind("job", "app-3")
        store.submit(submission("late"))
        store.finish(ended("late"))
        assert store.bind("late", "app-9")
        assert store.outcome("late") == ended("late", app_id="app-9")
        with pytest.raises(AlreadyDecidedError) as caught:
            store.finish(ended("late"))
        assert caught.value.outcome == ended("late", app_id="app-9")
        for bad in ("", "a\nb", "a\udcff", "x" * 201):
            with pytest.raises(UsageError, match="can't be an app id"):
                store.bind("job", bad)


def test_text_comes_back_as_it_was(home: Path) -> None:
    odd = "\0\x1b[31m\u202e\udcff\ud800ü\n'\""
    with Store(home) as store:
        asked = replace(submission(sinks=(f"file:/{odd}", odd)), name=odd, tags={odd: odd})
        store.submit(asked)
        store.finish(replace(ended(diagnostics=odd), name=odd, tags={odd: odd}, app_id="a\udcff"))
        assert store.submission("job") == replace(asked, app_id="a\\udcff")
        outcome = store.outcome("job")
        assert outcome is not None
        assert (outcome.diagnostics, outcome.name, outcome.tags) == (odd, odd, {odd: odd})
        assert [row.sink for row in store.undelivered()] == [f"file:/{odd}", odd]


@pytest.mark.requirement("store-2.1")
def test_what_a_newer_version_adds_survives(home: Path) -> None:
    with Store(home) as store:
        store.submit(submission())
        rows(home, "UPDATE submissions SET document = json_set(document, '$.new', json('[1]'))")
        rows(home, "UPDATE attempts SET document = '{\"new\": 1}'")
        assert store.submission("job") == submission()
        store.bind("job", "app-1")
        store.add_attempt("job")
        store.finish(ended())
        assert rows(home, "SELECT document ->> '$.new' FROM submissions") == [("[1]",)]
        assert rows(home, "SELECT document FROM attempts WHERE number = 1") == [('{"new": 1}',)]
        store.submit(submission("old"))
        rows(home, "UPDATE submissions SET document = '{}' WHERE submission_id = 'old'")
        assert store.submission("old") == replace(submission("old"), sinks=(), tags={})
        assert store.finish(ended("old"), claimer=Claimer.of_this_process()) == []


@pytest.mark.requirement("raydp-1")
def test_64_threads_race(home: Path) -> None:
    with Store(home) as store:
        for number in range(3):
            job = f"job-{number}"
            store.submit(submission(job))
            start = threading.Barrier(64)
            won: list[str] = []
            stands: list[object] = []

            def race(mine: str, job: str = job, start: threading.Barrier = start) -> None:
                start.wait()
                try:
                    claims = store.finish(ended(job, diagnostics=mine), claimer=Claimer.of_this_process())
                    assert [claim.outcome.diagnostics for claim in claims] == [mine] * 2
                    won.append(mine)  # noqa: B023 - joined before the next round
                except AlreadyDecidedError as error:
                    stands.append(error.outcome)  # noqa: B023

            threads = [threading.Thread(target=race, args=(str(n),)) for n in range(64)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(won) == 1
            assert stands == [ended(job, diagnostics=won[0])] * 63
            assert store.outcome(job) == stands[0]
            assert [row.sink for row in store.undelivered() if row.submission_id == job] == list(SINKS)


@pytest.mark.requirement("raydp-1")
def test_8_processes_of_8_threads_race(home: Path) -> None:
    with Store(home) as store:
        store.submit(submission())
    racers = [
        subprocess.Popen(
            [sys.executable, PROGRAMS / "racer.py", str(home), "job", "8"],
            env=ENV,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = []
    for racer in racers:
        out, _ = racer.communicate(timeout=60)
        assert racer.returncode == 0
        said += json.loads(out)
    assert len(said) == 64
    assert sum(one["won"] for one in said) == 1
    assert len({one["stands"] for one in said}) == 1
    with Store(home) as store:
        outcome = store.outcome("job")
        assert outcome is not None
        assert outcome.diagnostics == said[0]["stands"]
        assert [row.sink for row in store.undelivered()] == list(SINKS)
