"""Whatever a Python program gives is refused with a sentence, or can be stored."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raydp_wrap.client.submitter import request
from raydp_wrap.errors import UsageError
from raydp_wrap.job import Capacity
from raydp_wrap.model import Submission
from raydp_wrap.moment import Moment
from raydp_wrap.request import (
    Condition,
    Context,
    Dependency,
    FailureRule,
    Preparation,
    Reason,
    Request,
    RetryPolicy,
    RuleAction,
)
from raydp_wrap.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap import Client

WRONG = pytest.mark.requirement("jobs-4.2-wrong-values")
OPTIONS = [name for name in Request.__dataclass_fields__ if name not in ("argv", "shell")]

TEXTS = st.text(st.characters(), max_size=3)
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**15, 10**400, -(10**4000), 1e303]),
    st.floats(),
    TEXTS,
    st.binary(max_size=3),
    st.sampled_from([object(), object, list, Path("x"), RuleAction.FAIL, Condition.ANY, "file:x", 2j]),
)
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.lists(inner, max_size=2).map(tuple),
        st.dictionaries(PLAIN, inner, max_size=2),
        st.dictionaries(TEXTS, inner, max_size=2),
        st.builds(RetryPolicy, inner, inner, inner, inner, inner),
        st.builds(FailureRule, st.sampled_from(RuleAction), inner, inner, inner, inner),
        st.builds(FailureRule, inner, reasons=st.just((Reason.JOB_LOST,))),
        st.builds(Dependency, inner, inner),
        st.builds(Preparation, inner, inner, inner, inner, inner),
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    place = tmp_path_factory.mktemp("stored")
    place.chmod(0o700)
    with Store(place) as one:
        yield one


def kept_or_refused(store: Store, argv: Any, shell: Any, options: dict[str, Any]) -> None:
    try:
        made = request(argv, shell=shell, **options)
        submission = Submission(f"j{store.jobs.last_seq()}", made.name, 0.0, made.sinks, made.tags)
        job, new = store.jobs.submit(submission, made, Context(), Moment("boot", 1.0, 1.0))
    except UsageError as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert said.endswith(".")
        assert "\n" not in said
        return
    assert new
    assert job.request == Request.from_dict(json.loads(json.dumps(made.to_dict())))
    os.fsencode("".join([*made.argv, made.cwd or "", *made.env, *made.env.values()]))


@WRONG
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(OPTIONS), ANYTHING)
def test_any_value_of_any_option(store: Store, option: str, value: Any) -> None:
    kept_or_refused(store, ["true"], False, {option: value})  # noqa: FBT003 - as given


@WRONG
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANYTHING, st.booleans() | ANYTHING)
def test_any_command(store: Store, argv: Any, shell: Any) -> None:
    kept_or_refused(store, argv, shell, {})


@WRONG
@pytest.mark.parametrize(
    ("argv", "options"),
    [
        (None, {}),
        (7, {}),
        ([7], {}),
        ([b"true"], {}),
        (["true", "\ud800"], {}),
        (["true"], {"cwd": 7}),
        (["true"], {"after": 7}),
        (["true"], {"after": [None]}),
        (["true"], {"after": ["\ud800"]}),
        (["true"], {"sinks": None}),
        (["true"], {"retry": True}),
        (["true"], {"retry": "3"}),
        (["true"], {"slots": {"gpu": 10**400}}),
        (["true"], {"submission_id": 7}),
        (["true"], {"submission_id": "\ud800"}),
    ],
)
def test_a_client_stores_nothing_of_it(client: Client, argv: Any, options: dict[str, Any]) -> None:
    before = client.last_change()
    with pytest.raises(UsageError):
        client.submit(argv, **options)
    assert client.last_change() == before


@WRONG
def test_one_id_to_come_after_is_one_job(client: Client) -> None:
    first = client.submit(["true"], suspend=True)
    for after in (first.id, first, Dependency(first.id)):
        second = client.submit(["true"], after=after, suspend=True)
        assert second.status().request.after == (Dependency(first.id),)


@WRONG
def test_paths_are_words(tmp_path: Path) -> None:
    made = request([Path("/bin/true"), "x"], shell=False, cwd=tmp_path)
    assert (made.argv, made.cwd) == (("/bin/true", "x"), str(tmp_path))


@WRONG
def test_a_request_to_repeat_is_checked(client: Client) -> None:
    with pytest.raises(UsageError, match="priority"):
        client.repeat(Request(("true",), priority="high"))  # type: ignore[arg-type]


@pytest.mark.requirement("jobs-1.5-limits-checked")
def test_limits_that_make_no_sense_are_not_set(client: Client, store: Store) -> None:
    before = client.limits()
    with pytest.raises(UsageError, match="1e15"):
        client.set_limits(Capacity(None, {"x": 1e303}))
    with pytest.raises(UsageError, match="1e15"):
        store.jobs.set_capacity(Capacity(None, {"x": 1e303}))
    assert (client.limits(), store.jobs.capacity()) == (before, Capacity())


@pytest.mark.requirement("jobs-4.2-wrong-values")
def test_a_current_directory_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match="was removed"):
        request(["true"], shell=False)
    assert request(["true"], shell=False, cwd="/").cwd == "/"
