"""What is asked for on stdout, wherever that leads: never a traceback, never another exit code of deliver's."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from programs.wrapping import Wrap

pytestmark = pytest.mark.requirement("run-3.4")

LATIN = {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}


def shell(redirected: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = shlex.join([sys.executable, "-m", "raydp_wrap", *words])
    return subprocess.run(
        ["sh", "-c", f"{command} {redirected}"], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60
    )


def refused(wrap: Wrap, text: str) -> None:
    """Leave a report that the next delivery has something to tell of: where it goes is gone for now."""
    directory = wrap.tmp_path / text
    directory.mkdir()
    done = wrap.run("--sink", f"file:{directory}/r", "--report-timeout", "300ms", "--", "rmdir", str(directory))
    assert done.returncode == 0, done


@pytest.mark.parametrize(("redirected", "why"), [(">&-", b"stdout is closed"), (">/dev/full", b"No space left")])
@pytest.mark.parametrize("waits", [True, False])
def test_a_delivery_that_can_t_be_printed_is_one(wrap: Wrap, redirected: str, why: bytes, *, waits: bool) -> None:
    refused(wrap, "gone")
    if not waits:
        (wrap.tmp_path / "gone").mkdir()
    done = shell(redirected, "deliver", "--timeout", "5s" if not waits else "100ms")
    assert (done.returncode, done.stdout) == (int(waits), b"")
    assert done.stderr.count(b"\n") == 1, done.stderr
    assert b"nothing could be printed: " + why in done.stderr
    assert (wrap.tmp_path / "gone" / "r").exists() != waits


@pytest.mark.parametrize("redirected", [">&-", ">/dev/full"])
def test_nothing_to_tell_needs_no_stdout(redirected: str) -> None:
    done = shell(redirected, "deliver")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("command", ["doctor", "plugins"])
@pytest.mark.parametrize("redirected", [">&-", ">/dev/full"])
def test_what_only_tells_has_failed_then(command: str, redirected: str) -> None:
    done = shell(redirected, command)
    assert done.returncode == 125
    assert done.stderr.startswith(b"raydp-wrap: nothing could be printed: "), done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_reader_that_left_changes_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "raydp_wrap", "plugins"],
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("words", [["deliver", "--timeout", "100ms"], ["doctor"]])
def test_what_stdout_s_encoding_lacks_is_escaped(wrap: Wrap, words: list[str]) -> None:
    refused(wrap, "\u4e00" + "x" * 240)  # long enough to be cut short, too
    done = wrap.call(*words, env={**os.environ, **LATIN})
    assert (done.returncode, done.stderr) == (1, b""), done
    assert b"\\u2026" in done.stdout or b"\\u4e00" in done.stdout, done.stdout
    done = wrap.call(*words, "--json", env={**os.environ, **LATIN})
    assert (done.returncode, done.stderr) == (1, b"")
    assert json.loads(done.stdout)


def test_a_home_that_is_not_utf8_is_refused_before_anything_is_started(wrap: Wrap, tmp_path: Path) -> None:
    env = {**os.environb, b"RAYDP_WRAP_HOME": os.fsencode(tmp_path) + b"/\xff"}
    done = wrap.run("--", "touch", str(tmp_path / "started"), env=env)
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.count(b"\n") == 1
    assert b"RAYDP_WRAP_HOME" in done.stderr
    assert not (tmp_path / "started").exists()
