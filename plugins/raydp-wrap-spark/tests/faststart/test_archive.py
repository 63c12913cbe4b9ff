from __future__ import annotations

import os

import pytest
from raydp_wrap.errors import UsageError

from raydp_wrap_spark.faststart import runs
from raydp_wrap_spark.faststart.archive import equip, plan_of, size_limit
from raydp_wrap_spark.faststart.errors import UnfitError

MAIN = "Main"


@pytest.fixture
def command(jvm, jars):
    return [jvm(), "-cp", f"{jars.parent}/conf:{jars}/*", "-Xmx1g", MAIN, "app.py", "x"]


@pytest.fixture
def key(command, user):
    """The archive's key, as things are now."""
    return lambda words=(): plan_of([*command[:4], *words], user).key


@pytest.fixture
def kept(command, user, cache, private):
    """An archive for the command, in the cache."""

    def keep():
        plan = plan_of(command[:4], user)
        made = private / "made"
        made.write_text("classes")
        cache.put(plan.key, made, {"java": "x"})
        return cache.find(plan.key)

    return keep


@pytest.mark.requirement("start-key")
@pytest.mark.parametrize(
    "change",
    [
        lambda jars: (jars / "c.jar").touch(),
        lambda jars: (jars / "a.jar").unlink(),
        lambda jars: (jars / "a.jar").write_text("longer than before"),
        lambda jars: os.utime(jars / "a.jar", (1, 1)),
        lambda jars: (jars.parent / "conf").mkdir(),
        lambda jars: (jars.parent / "jvm" / "release").write_text('JAVA_VERSION="17.0.2"\n'),
        lambda jars: (jars.parent / "jvm" / "lib" / "server" / "libjvm.so").write_text("xy"),
    ],
)
def test_the_key_holds_jvm_and_class_path(key, jars, change):
    before = key()
    assert key() == before
    change(jars)
    assert key() != before


def test_what_is_no_jar_does_not_count(key, jars):
    before = key()
    (jars / "no.txt").write_text("more")
    assert key() == before


def test_a_directory_with_something_in_it_has_no_archive(key, jars):
    (jars.parent / "conf").mkdir()
    (jars.parent / "conf" / "spark-defaults.conf").touch()
    with pytest.raises(UnfitError, match="conf"):
        key()


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_1", "x", ""])
def test_an_old_java_has_none(jvm, jars, user, version):
    with pytest.raises(UnfitError, match="Java 17"):
        plan_of([jvm(version=version), "-cp", f"{jars}/*"], user)


def test_without_an_archive_the_command_stays_and_the_run_is_noted(command, user):
    assert equip(command, MAIN, user, {}) == command
    assert not runs.take().uses
    assert not os.path.exists(user["XDG_CACHE_HOME"])


@pytest.mark.requirement("start-uses")
def test_an_archive_is_used_and_the_users_options_come_after_ours(command, user, kept):
    entry = kept()
    os.utime(entry.path, ns=(0, entry.about["mtime"]))
    got = equip(command, MAIN, user, {})
    ours = got[1 : -len(command) + 1]
    assert got == [command[0], *ours, *command[1:]]
    assert f"-XX:SharedArchiveFile={entry.path}" in ours
    assert "-Xshare:auto" in ours
    assert "-Xlog:cds*=off" in ours
    assert entry.path.stat().st_atime > 0
    assert runs.take().uses


def test_a_newer_java_uses_an_aot_cache(jvm, jars, user, cache, private):
    command = [jvm(version="25.0.1"), "-cp", f"{jars}/*", MAIN]
    made = private / "made"
    made.write_text("x")
    cache.put(plan_of(command[:-1], user).key, made, {})
    assert any(word.startswith("-XX:AOTCache=") for word in equip(command, MAIN, user, {}))


@pytest.mark.requirement("start-off")
@pytest.mark.parametrize(("variable", "settings"), [("off", {}), ("", {"jvm.cache": "off"}), ("0", {}), ("false", {})])
def test_it_is_switched_off(command, user, kept, variable, settings):
    kept()
    assert equip(command, MAIN, {**user, "RAYDP_WRAP_JVM_CACHE": variable}, settings) == command
    assert runs.take() is None


@pytest.mark.requirement("start-only-speed")
def test_a_torn_or_changed_file_is_as_if_not_there(command, user, kept):
    entry = kept()
    entry.path.write_text("cla")
    assert equip(command, MAIN, user, {}) == command
    assert not runs.take().uses
    entry = kept()
    entry.path.with_suffix(".json").write_text("{")
    assert equip(command, MAIN, user, {}) == command


@pytest.mark.requirement("start-private")
def test_nobody_elses_directory_is_used(command, user, kept, cache):
    kept()
    cache.directory.chmod(0o770)
    assert equip(command, MAIN, user, {}) == command
    cache.directory.chmod(0o700)
    cache.directory.rename(cache.directory.with_name("else"))
    cache.directory.symlink_to(cache.directory.with_name("else"))
    assert equip(command, MAIN, user, {}) == command


def test_no_home_and_no_class_path_and_another_main_class(command, user):
    assert equip(command, MAIN, {**user, "XDG_CACHE_HOME": "", "HOME": "relative"}, {}) == command
    assert equip([command[0], MAIN], MAIN, user, {}) == [command[0], MAIN]
    assert equip(command, "Other", user, {}) == command


@pytest.mark.parametrize(("text", "size"), [("2g", 2 << 30), ("500M", 500 << 20), ("10kb", 10 << 10), ("7", 7)])
def test_sizes(text, size):
    assert size_limit({"RAYDP_WRAP_JVM_CACHE_SIZE": text}, {}) == size


@pytest.mark.parametrize("text", ["much", "-1g", "g", "1.5g"])
def test_wrong_sizes_are_one_sentence(text):
    with pytest.raises(UsageError, match=r"write 2g or 500m\.$"):
        size_limit({}, {"jvm.cache.size": text})
