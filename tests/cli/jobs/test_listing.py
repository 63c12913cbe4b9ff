"""raydp-wrap jobs list."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

import raydp_wrap
from raydp_wrap.cli.jobs import cells
from raydp_wrap.cli.jobs.table import fitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.jobs.conftest import Jobs, Screen

ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{12}")

pytestmark = pytest.mark.requirement("jobs-4.1-list")


@pytest.fixture(scope="module", autouse=True)
def three(shared_home: object) -> None:  # noqa: ARG001 - where they are
    with raydp_wrap.Client() as client:
        client.submit(["sh", "-c", "kill -9 $$"], name="first", tags={"team": "blue"}).wait(30)
        client.submit(["sh", "-c", "exit 3", "--password=hunter2"], name="second", tags={"team": "red"}).wait(30)
        client.submit(["true"], name="third", suspend=True, retry=2, priority=5)


def plain(lines: list[str]) -> list[str]:
    """Without what differs from run to run."""
    return [re.sub(r"\b\d+(?:\.\d)?s\b", "Ts", ID.sub("ID", line)) for line in lines]


def test_golden_columns_when_piped(jobs: Jobs) -> None:
    said = jobs("list")
    assert (said.code, said.err) == (0, "")
    assert [re.sub(" +", " ", line) for line in plain(said.lines)] == [
        "ID NAME PHASE ATTEMPTS EXIT REASON AGE ELAPSED",
        "ID third SUSPENDED 0/3 - - Ts -",
        "ID second FAILED 1/1 3 AppFailed Ts Ts",
        "ID first FAILED 1/1 SIGKILL AppFailed Ts Ts",
    ]
    assert (
        len({line.index(word) for line, word in zip(said.lines, ("PHASE", "SUSP", "FAIL", "FAIL"), strict=True)}) == 1
    )


def test_wide_without_secrets(jobs: Jobs) -> None:
    head, third, second, _ = jobs("list", "-o", "wide").lines
    assert head.endswith("PRIORITY  TAGS       COMMAND")
    assert third.split()[-3:] == ["5", "-", "true"]
    assert second.endswith("0         team=red   sh -c 'exit 3' --password=***")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["third", "second", "first"]),
        (["--state", "failed"], ["second", "first"]),
        (["--state", "SUSPENDED", "--state", "FINISHED"], ["third"]),
        (["--tag", "team=blue"], ["first"]),
        (["--tag", "team"], ["second", "first"]),
        (["--tag", "team", "--tag", "other"], []),
        (["--name", "third"], ["third"]),
        (["--limit", "1"], ["third"]),
        (["--limit", "0"], ["third", "second", "first"]),
    ],
)
@pytest.mark.requirement("jobs-4.1-json")
def test_filters(jobs: Jobs, words: list[str], names: list[str]) -> None:
    said = jobs("list", "--json", *words)
    assert (said.code, [one["name"] for one in said.json]) == (0, names)
    assert said.raw == jobs("list", "-o", "json", *words).raw
    ids = [one["submission_id"] for one in said.json]
    assert jobs("list", "-o", "name", *words).lines == ids


def test_with_the_runs_in_the_foreground(jobs: Jobs) -> None:
    raydp_wrap.run(["true"], name="front", tags={"team": "blue"})
    assert "front" not in jobs("list").out
    said = jobs("list", "--all", "--tag", "team=blue")
    assert [line.split()[1:3] for line in said.lines[1:]] == [["front", "FINISHED"], ["first", "FAILED"]]
    assert jobs("list", "--all", "--json", "--name", "front").json[0]["foreground"] is True
    assert "can't be watched" in jobs.refused("list", "--all", "--watch")


def test_bad_filters_are_one_sentence(jobs: Jobs) -> None:
    assert "is not one of" in jobs.refused("list", "--state", "GONE")
    assert "neither" in jobs.refused("list", "--tag", "=x")


def test_watched_through_a_pipe_each_change_is_a_line(jobs: Jobs) -> None:
    process = jobs.start("list", "-w", "--json", "--name", "watched")
    found = jobs.submit("--name", "watched", "--suspend", "--", "true")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["phase"] == "SUSPENDED"
    jobs("stop", found)
    assert json.loads(process.stdout.readline())["phase"] == "KILLED"
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (-signal.SIGINT, b"", b"")
    jobs("delete", found)


def test_on_a_terminal_and_watched(jobs: Jobs, screen: Callable[..., Screen]) -> None:
    one = screen("list")
    assert one.end() == 0
    assert len(ID.findall(one.seen)) == 3
    watched = screen("list", "--watch", "--name", "live")
    watched.until("ELAPSED")
    found = jobs.submit("--name", "live", "--", "sleep", "1000")
    watched.until("RUNNING")
    jobs("stop", "--grace", "0", found)
    watched.until("KILLED")
    watched.type("\x03")
    assert watched.end() == -signal.SIGINT
    assert watched.seen.endswith("\x1b[?25h")  # the cursor is back
    jobs("delete", found)


def test_a_narrow_terminal_cuts_names_then_columns_never_ids(screen: Callable[..., Screen]) -> None:
    head = ("ID", "NAME", "PHASE", "ATTEMPTS", "EXIT", "REASON", "AGE", "ELAPSED", "PRIORITY", "TAGS", "COMMAND")
    row = ("i" * 28, "n" * 30, "SUSPENDED", "1/1", "SIGKILL", "AppFailed", "1m05s", "0.0s", "0", "-", "c" * 100)
    assert fitted(head, [row], 1000) == dict(zip(head, (28, 30, 9, 8, 7, 9, 5, 7, 8, 4, 100), strict=True))
    wide = fitted(head, [row], 120)
    assert list(wide) == [title for title in head if title != "PRIORITY"]
    assert (wide["NAME"], wide["COMMAND"]) == (13, 12)
    assert list(fitted(head, [row], 80)) == ["ID", "NAME", "PHASE", "EXIT", "AGE", "ELAPSED"]
    assert list(fitted(head, [row], 10)) == ["ID", "PHASE", "EXIT"]
    for width in range(60, 250):
        widths = fitted(head, [row], width)
        assert sum(widths.values()) + 2 * (len(widths) - 1) <= width
    one = screen("list", "-o", "wide", width=80)
    assert one.end() == 0
    assert len(ID.findall(one.seen)) == 3
    assert "SIGKILL" in one.seen


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0s"), (0.44, "0.4s"), (59.9, "59s"), (60, "1m00s"), (3599, "59m59s"), (7380, "2h03m"), (360000, "4d04h")],
)
def test_lengths(seconds: float, text: str) -> None:
    assert cells.length(seconds) == text
