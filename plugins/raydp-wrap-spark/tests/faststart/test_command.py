from __future__ import annotations

import pytest

from raydp_wrap_spark.faststart.command import shape_of
from raydp_wrap_spark.faststart.errors import UnfitError

SPARKS = ["-cp", "/jars/*", "-Xmx1g", "-XX:+IgnoreUnrecognizedVMOptions", "--add-opens=java.base/java.io=ALL-UNNAMED"]


def test_what_an_archive_depends_on():
    shape = shape_of([*SPARKS, "-Dio.netty.x=true", "-Dmine=1", "--add-modules", "java.se"], {})
    assert shape.class_path == "/jars/*"
    assert shape.options == (*SPARKS[3:], "--add-modules", "java.se")
    assert shape.properties == ("-Dio.netty.x=true",)
    assert not shape.large


@pytest.mark.requirement("start-key")
@pytest.mark.parametrize(
    "option",
    ["-Dpassword=x", "-Xmx8g", "-Xms1g", "-Xss4m", "-Xlog:gc", "-verbose:gc", "-XX:+HeapDumpOnOutOfMemoryError"],
)
def test_some_options_do_not_matter(option):
    assert shape_of([*SPARKS, option], {}) == shape_of(SPARKS, {})


@pytest.mark.requirement("start-key")
@pytest.mark.parametrize(
    "option",
    ["-XX:+UseSerialGC", "-XX:+UseZGC", "-XX:-UseCompressedOops", "--add-opens=java.base/x=ALL-UNNAMED", "-Xint"],
)
def test_others_do(option):
    assert shape_of([*SPARKS, option], {}) != shape_of(SPARKS, {})
    assert shape_of(SPARKS, {"JAVA_TOOL_OPTIONS": option}) != shape_of(SPARKS, {})


@pytest.mark.parametrize(("memory", "large"), [("31g", False), ("32g", True), ("40000m", True), ("9999999k", False)])
def test_a_large_heap_has_other_references(memory, large):
    assert shape_of([*SPARKS, f"-Xmx{memory}"], {}).large is large


@pytest.mark.requirement("start-leaves-alone")
@pytest.mark.parametrize(
    "option",
    [
        "-XX:SharedArchiveFile=/mine",
        "-XX:AOTCache=/mine",
        "-XX:AOTMode=off",
        "-Xshare:off",
        "-XX:-UseSharedSpaces",
        "-XX:+AutoCreateSharedArchive",
        "-javaagent:/agent.jar",
        "-agentlib:jdwp=x",
        "-Xbootclasspath/a:/x.jar",
        "--patch-module=x=y",
        "-XX:Flags=/x",
        "@/arguments",
    ],
)
def test_the_users_own_archive_and_what_changes_classes_is_left_alone(option):
    with pytest.raises(UnfitError):
        shape_of([*SPARKS, option], {})
    with pytest.raises(UnfitError):
        shape_of(SPARKS, {"JDK_JAVA_OPTIONS": f"-Da=b {option}"})
