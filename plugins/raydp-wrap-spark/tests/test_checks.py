from __future__ import annotations

import os

import pytest

from raydp_wrap_spark.checks import checks
from raydp_wrap_spark.faststart.cache import Cache
from raydp_wrap_spark.faststart.runs import take

pytestmark = pytest.mark.requirement("start-doctor")


@pytest.fixture
def user(env, java_home, tmp_path):
    tmp_path.chmod(0o700)
    (java_home / "lib" / "server").mkdir(parents=True)
    (java_home / "lib" / "server" / "libjvm.so").touch()
    (java_home / "lib" / "server" / "classes.jsa").touch()
    (java_home / "release").write_text('JAVA_VERSION="17.0.9"\n')
    return {**env, "XDG_CACHE_HOME": str(tmp_path / "cache")}


def told(env):
    found = {check.name: check for check in checks(env)}
    assert take() is None
    return found


def test_where_spark_and_java_are(user, spark, java_home):
    found = told(user)
    assert (found["spark"].ok, found["spark"].text) == (True, f"1.0 in {spark}")
    assert (found["java"].ok, found["java"].text) == (True, f"17.0.9, {java_home}/bin/java")


def test_what_is_missing_is_said_with_what_to_do(user):
    found = told({**user, "SPARK_HOME": "/no/such", "JAVA_HOME": "/no/such"})
    assert not found["spark"].ok
    assert not found["java"].ok
    assert "pip install" in found["spark"].text
    assert "pip install" in found["java"].text
    assert "spark start cache" not in found


def test_the_cache_off_not_yet_in_use_failed_and_never(user, spark, java_home, tmp_path):
    def cache_line(**variables):
        check = told({**user, **variables})["spark start cache"]
        return check.ok, check.text

    assert cache_line(RAYDP_WRAP_JVM_CACHE="off") == (True, "off (RAYDP_WRAP_JVM_CACHE)")
    assert not cache_line(RAYDP_WRAP_JVM_CACHE_SIZE="x")[0]
    assert cache_line()[0]
    assert cache_line()[1].startswith("not made yet")
    cache = Cache.of(user)
    cache.create()
    cache.note_try("k", "no room")
    ok, text = cache_line()
    assert not ok
    assert "no room" in text
    lock = cache.lock()
    assert cache_line() == (True, f"being made; 0 of 2048 MB in {cache.directory}")
    os.close(lock)
    assert not cache_line()[0]
    made = tmp_path / "made"
    made.write_bytes(b"x" * (3 << 20))
    cache.put("k", made, {"java": f"{java_home}/bin/java", "spark": str(spark), "made_at": 0.0, "seconds": 9})
    ok, text = cache_line()
    assert ok
    assert text.startswith("in use: made at 19")
    assert "3 of 2048 MB" in text
    cache.drop("k")
    (spark / "conf").mkdir()
    (spark / "conf" / "x").touch()
    assert cache_line()[0] is False
    assert "not empty" in cache_line()[1]
    os.chmod(cache.directory, 0o755)
    assert cache_line()[0] is False
