"""What an application sees of being tracked: nothing, and nothing of it is left."""

from __future__ import annotations

import importlib.util
import pickle
import sys
import threading
from pathlib import Path

import pytest
from raydp_wrap.errors import RaydpWrapError, UsageError

import raydp_wrap_spark
from raydp_wrap_spark.tracking import TrackedApplication


@pytest.fixture
def standing_in():
    path = Path(__file__).parent / "programs" / "standing_in.py"
    spec = importlib.util.spec_from_file_location("standing_in", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def spark_stands_in(monkeypatch, tmp_path, standing_in):
    monkeypatch.setitem(sys.modules, "pyspark", standing_in.module())
    monkeypatch.setenv("RAYDP_WRAP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RAYDP_WRAP_ATTEMPT_ID", raising=False)


@pytest.fixture
def session(standing_in):
    """Make sessions whose JVMs end with the test."""
    made = []

    def make(**conf):
        made.append(standing_in.SparkSession(**conf))
        return made[-1]

    yield make
    for one in made:
        one.sparkContext.end_jvm()


@pytest.mark.requirement("track-7")
def test_everything_is_as_it_was_when_it_has_ended(session, told):
    exit_before, threads = sys.exit, threading.active_count()
    spark = session()
    stop = spark.sparkContext.stop
    raydp_wrap_spark.track(spark, sinks=[told.sink])
    assert sys.exit is not exit_before
    assert pickle.loads(pickle.dumps(sys.exit)) is sys.exit
    spark.stop()
    assert (sys.exit, threading.active_count()) == (exit_before, threads)
    assert "stop" not in vars(spark.sparkContext)
    assert spark.sparkContext.stop == stop
    assert told.one()["state"] == "FINISHED"


@pytest.mark.requirement("track-7")
def test_a_stop_works_though_nothing_can_be_told(session, told, monkeypatch):
    spark, said = session(), []
    tracked = raydp_wrap_spark.track(spark, sinks=[told.sink], tell=said.append)

    def fail(*_, **__):
        raise RaydpWrapError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(tracked._tracked, "end", fail)
        spark.stop()
    assert spark.sparkContext._jsc is None
    assert said == [f"{tracked.submission_id}: its end could not be told: the disk is gone"]
    tracked._tracked.end()


@pytest.mark.requirement("track-7")
def test_a_stop_that_fails_is_no_end(session, told, monkeypatch):
    spark = session()

    def fail(_):
        raise RuntimeError("it does not stop")

    with monkeypatch.context() as patch:
        patch.setattr(type(spark.sparkContext), "stop", fail)
        tracked = raydp_wrap_spark.track(spark, sinks=[told.sink])
        with pytest.raises(RuntimeError, match="does not stop"):
            spark.stop()
    assert tracked.outcome is None
    tracked.end(3)
    assert told.one()["exit_code"] == 3


@pytest.mark.requirement("track-8")
def test_twice_is_once_and_another_context_is_another_submission(session, told):
    spark = session()
    first = raydp_wrap_spark.track(spark, sinks=[told.sink])
    assert raydp_wrap_spark.track(spark.sparkContext, name="other", sinks=["file:/dev/full"]) is first
    spark.stop()
    again = session()
    second = raydp_wrap_spark.track(again, sinks=[told.sink])
    assert isinstance(second, TrackedApplication)
    again.stop()
    assert [one["submission_id"] for one in told.all()] == [first.submission_id, second.submission_id]


@pytest.mark.requirement("track-8")
def test_one_context_may_hold_one_block_after_the_other(session, told):
    spark = session()
    for name in ("first", "second"):
        with raydp_wrap_spark.track(spark, name=name, sinks=[told.sink]):
            pass
    spark.stop()
    assert [one["name"] for one in told.all()] == ["first", "second"]


@pytest.mark.requirement("track-10")
def test_sinks_of_the_conf_and_of_the_environment_are_told_too(session, told, tmp_path, monkeypatch):
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    monkeypatch.setenv("RAYDP_WRAP_SINKS", f"file:{one}")
    spark = session(**{"spark.raydp.wrap.sinks": f"file:{two},file:{three}", "spark.raydp.wrap.report.timeout": "7s"})
    tracked = raydp_wrap_spark.track(spark, sinks=[told.sink], tags={"team": "a"})
    assert tracked._tracked._report_timeout == 7.0
    spark.stop()
    assert [path.exists() for path in (one, two, three)] == [True] * 3
    assert told.one()["tags"] == {"team": "a"}


@pytest.mark.requirement("track-11")
def test_what_can_t_be_tracked_is_refused_in_one_sentence(session):
    connect = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})
    with pytest.raises(UsageError, match=r"^a Spark Connect session .* raydp_wrap\.track\(name\)\.$"):
        raydp_wrap_spark.track(connect())
    with pytest.raises(UsageError, match="takes a SparkSession or a SparkContext, not int"):
        raydp_wrap_spark.track(3)
    spark = session()
    spark.stop()
    with pytest.raises(UsageError, match="stopped already"):
        raydp_wrap_spark.track(spark)
