"""How people find jobs: by id, by what it begins with, by name, by age, by phase and tag."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from store.job_making import CONTEXT, NOW, WISH, request, running, submitted
from store.making import ended, home, submission

from raydp_wrap.job import Tally
from raydp_wrap.model import TerminalState
from raydp_wrap.request import Phase
from raydp_wrap.store import Store
from raydp_wrap.store.preparations import Prepared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from raydp_wrap.job import Job

__all__ = ["home"]


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store(home) as store:
        yield store


def named(store: Store, submission_id: str, name: str = "", **tags: str) -> Job:
    asked = replace(submission(submission_id, ()), name=name, tags=tags)
    return store.jobs.submit(asked, request(), CONTEXT, NOW)[0]


def ids(found: list[Job]) -> list[str]:
    return [one.submission_id for one in found]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("ab", ["ab"]),
        ("a", ["abd", "abc", "ab"]),
        ("abc", ["abc"]),
        ("nightly", ["x9", "abc"]),
        ("x9", ["x9"]),
        ("9x", ["x8"]),
        ("night", []),
        ("", []),
        ("@last", ["x8"]),
        ("@last-0", ["x8"]),
        ("@last-1", ["x9"]),
        ("@last-4", ["ab"]),
        ("@last-5", []),
        ("@last-x", []),
        ("odd \udcff\0\U0010ffff", []),
        ("%", []),
    ],
)
def test_a_word_finds_an_id_else_a_beginning_else_a_name(store: Store, word: str, found: list[str]) -> None:
    store.submit(submission("abe"))
    for submission_id, name in (("ab", ""), ("abc", "nightly"), ("abd", "a"), ("x9", "nightly"), ("x8", "9x")):
        named(store, submission_id, name)
    assert ids(store.jobs.find(word)) == found
    assert ids(store.jobs.find(word, limit=1)) == found[:1]


def test_odd_names_are_found(store: Store) -> None:
    odd = "n\udcff\0ü%\U0010ffff"
    named(store, "job", odd)
    assert [one.submission.name for one in store.jobs.find(odd)] == [odd]
    assert ids(store.jobs.listed(name=odd)) == ["job"]


def test_a_list_is_of_what_was_asked_for(store: Store) -> None:
    for number in range(6):
        named(
            store,
            f"job-{number}",
            "even" if number % 2 == 0 else "",
            team="red" if number < 3 else "blue",
            **{"k.$ü": "v"},
        )
    store.jobs.begin("job-1", None, NOW)
    store.jobs.started("job-1", 1, {}, NOW.wall, NOW)
    store.jobs.stop("job-2", WISH, ended("job-2", TerminalState.KILLED), NOW)
    last = store.jobs.last_seq()
    listed = store.jobs.listed
    assert ids(listed()) == [f"job-{number}" for number in (5, 4, 3, 2, 1, 0)]
    assert ids(listed(newest_first=False, limit=2)) == ["job-0", "job-1"]
    assert ids(listed(phases=[Phase.RUNNING, Phase.KILLED])) == ["job-2", "job-1"]
    assert ids(listed(phases=[Phase.RUNNING], limit=1)) == ["job-1"]
    assert ids(listed(tags=[("team", "red")])) == ["job-2", "job-1", "job-0"]
    assert ids(listed(tags=[("team", None), ("k.$ü", "v")], limit=1)) == ["job-5"]
    assert ids(listed(tags=[("team", "green")])) == []
    assert ids(listed(tags=[("no", None)])) == []
    assert ids(listed(name="even", phases=[Phase.PENDING])) == ["job-4", "job-0"]
    assert ids(listed(name="")) == ["job-5", "job-3", "job-1"]
    assert ids(listed(since_seq=last - 1)) == ["job-2"]
    assert listed(limit=0) == []
    assert store.jobs.counts() == {
        phase: {Phase.PENDING: 4, Phase.RUNNING: 1, Phase.KILLED: 1}.get(phase, 0) for phase in Phase
    }


def test_foreground_runs_are_listed_apart(store: Store) -> None:
    store.submit(submission("one"))
    store.submit(submission("two"))
    running(store.jobs)
    store.finish(ended("one"))
    assert store.jobs.foreground() == [
        (submission("two"), TerminalState.UNKNOWN),
        (submission("one"), TerminalState.FAILED),
    ]
    assert len(store.jobs.foreground(1)) == 1
    assert ids(store.jobs.listed()) == ["job"]


def test_what_is_read_as_decided_is_durable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(home) as store:
        running(store.jobs)
        submitted(store.jobs, "other")
        store.jobs.decide("job", 1, ended(), Tally.FAILED, NOW)
    looks = (
        lambda jobs: jobs.job("job"),
        lambda jobs: jobs.outcome("job"),
        lambda jobs: jobs.changed(0),
        lambda jobs: jobs.changes(0),
        lambda jobs: jobs.history("job"),
        lambda jobs: jobs.find("job"),
        lambda jobs: jobs.listed(),
    )
    for look in looks:
        synced: list[None] = []
        with Store(home) as store:
            monkeypatch.setattr(store._database, "make_durable", lambda synced=synced: synced.append(None))
            store.jobs.unfinished()
            store.jobs.job("other")
            assert not synced
            look(store.jobs)
            assert synced


@pytest.mark.requirement("jobs-2.3-prepare")
def test_an_environment_changes_its_state_once(store: Store) -> None:
    environments = store.preparations
    first = Prepared("k\udcff", "PREPARING", "job", "d1", "", 1.0)
    assert environments.get(first.key) is None
    assert not environments.put("READY", first)
    assert environments.put(None, first)
    assert not environments.put(None, replace(first, submission_id="other"))
    assert environments.get(first.key) == first
    failed = replace(first, state="FAILED", error="no such module", at=2.0)
    assert environments.put("PREPARING", failed)
    assert not environments.put("PREPARING", replace(first, state="READY"))
    assert environments.get(first.key) == failed
    environments.forget(first.key)
    assert environments.get(first.key) is None
