from __future__ import annotations

import os
import stat
import time

import pytest


@pytest.fixture
def put(cache, private):
    """Keep SIZE bytes as KEY, last used at AT."""

    def keep(key, size=10, at=None):
        made = private / "made"
        made.write_bytes(b"x" * size)
        cache.put(key, made, {})
        if at is not None:
            os.utime(cache.path(key), ns=(at, cache.find(key).about["mtime"]))

    return keep


@pytest.mark.requirement("start-private")
def test_files_are_the_owners_alone(cache, put):
    put("k")
    assert stat.S_IMODE(cache.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in cache.directory.iterdir()} == {0o600}


@pytest.mark.requirement("start-size")
def test_the_least_used_go_first(cache, put):
    for key, at in (("old", 1), ("new", 3), ("mid", 2)):
        put(key, 100, at)
    cache.use(cache.find("old"))
    assert [entry.key for entry in cache.make_room(250)] == ["mid"]
    assert [entry.key for entry in cache.entries()] == ["new", "old"]
    assert not list(cache.directory.glob("mid*"))


def test_using_one_does_not_change_what_was_noted(cache, put):
    put("k")
    cache.use(cache.find("k"))
    assert cache.find("k")


@pytest.mark.requirement("start-size")
def test_what_nobody_can_use_is_removed(cache, put):
    put("torn")
    cache.path("torn").write_text("")
    (cache.directory / "alone.jvm").touch()
    (cache.directory / "alone2.json").touch()
    put("k")
    cache.make_room(1000)
    assert sorted(path.name for path in cache.directory.iterdir()) == ["k.json", "k.jvm"]


@pytest.mark.requirement("start-backoff")
def test_failures_make_for_longer_and_longer_pauses(cache, put, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    assert cache.may_try("k")
    for pause in (600, 1200, 2400):
        cache.note_try("k")
        cache.note_try("k", "no room", again=False)
        now += pause - 1
        assert not cache.may_try("k")
        assert cache.may_try("other")
        now += 2
        assert cache.may_try("k")
    assert next(cache.failures())[1] == "no room"
    put("k")
    assert cache.may_try("k")
    assert not list(cache.failures())


def test_a_clock_that_was_set_back_does_not_hold_it_up(cache, monkeypatch):
    cache.note_try("k")
    monkeypatch.setattr(time, "time", lambda: 1.0)
    assert cache.may_try("k")


@pytest.mark.requirement("start-one-maker")
def test_one_lock_for_all(cache):
    first = cache.lock()
    assert cache.lock() is None
    os.close(first)
    second = cache.lock()
    assert second is not None
    os.close(second)
