"""The wrapper's own settings, where it has no options."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.errors import UsageError
from raydp_wrap.settings import duration, grace, report_timeout, setting, sink_texts, switch

pytestmark = pytest.mark.requirement("sink-4.4")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("30s", 30),
        ("500ms", 0.5),
        (" 5 m ", 300),
        ("2h", 7200),
        ("1d", 86400),
        (".5", 0.5),
        ("1.", 1),
        ("0", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@given(st.text(max_size=12))
def test_what_is_no_duration_is_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert 0 <= duration(text) <= 10 * 365 * 86400


def test_the_command_line_s_own_goes_before_the_variable() -> None:
    both = ({"RAYDP_WRAP_REPORT_TIMEOUT": "1s"}, {"report.timeout": "2s"})
    assert report_timeout(*both) == 2
    assert report_timeout(both[0], {}) == 1
    assert report_timeout({}, {}) == 5
    assert report_timeout({"RAYDP_WRAP_REPORT_TIMEOUT": ""}, {"report.timeout": ""}) == 5
    assert setting("report.timeout", *both) == ("2s", "spark.raydp.wrap.report.timeout")


def test_a_switch() -> None:
    for on, words in ((True, ("on", "TRUE", " yes", "1")), (False, ("off", "False", "no ", "0"))):
        for word in words:
            assert switch("jvm.cache", {"RAYDP_WRAP_JVM_CACHE": word}, {}, default=not on) is on
    assert switch("jvm.cache", {}, {}, default=True) is True
    with pytest.raises(UsageError, match=r"spark\.raydp\.wrap\.jvm\.cache: 'perhaps' is neither on nor off"):
        switch("jvm.cache", {}, {"jvm.cache": "perhaps"}, default=True)


def test_the_grace() -> None:
    assert grace({}, {}) == 10
    assert grace({"RAYDP_WRAP_GRACE": "1m"}, {}) == 60
    with pytest.raises(UsageError, match="RAYDP_WRAP_GRACE"):
        grace({"RAYDP_WRAP_GRACE": "soon"}, {})


@pytest.mark.parametrize(
    ("environment", "settings", "where"),
    [
        ({"RAYDP_WRAP_REPORT_TIMEOUT": "soon"}, {}, "RAYDP_WRAP_REPORT_TIMEOUT"),
        ({}, {"report.timeout": "soon"}, "spark.raydp.wrap.report.timeout"),
    ],
)
def test_a_wrong_one_is_named_by_where_it_stands(
    environment: dict[str, str], settings: dict[str, str], where: str
) -> None:
    with pytest.raises(UsageError, match=where):
        report_timeout(environment, settings)


def test_sinks_of_both_are_told() -> None:
    found = sink_texts(
        {"RAYDP_WRAP_SINKS": "file:/a,b\n\nexec:cat x, file:/y"},
        {"sinks": "file:/c, webhook:http://h/?a=1,2,exec:cat"},
        ("file", "webhook", "exec"),
    )
    assert found == ["file:/c", "webhook:http://h/?a=1,2", "exec:cat", "file:/a,b", "exec:cat x, file:/y"]
    assert sink_texts({}, {}, ()) == []
