"""The drop-in face: what its caller sees of it is what it would see of the command itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from programs.installed import HOOKS, hook, plugin

if TYPE_CHECKING:
    from pathlib import Path

BUILD = "from raydp_wrap.model import Launch\n"


@pytest.fixture
def submit(tmp_path: Path) -> list[str]:
    """``raydp-submit WORDS`` that executes ``sh -c WORDS``; the words that start it."""
    site = tmp_path / "site"
    site.mkdir()
    body = "return Launch(('sh', '-c', *argv), name='an app', settings={})"
    plugin(site, "fake-spark", HOOKS + BUILD + hook("build_launch(tool, argv)", body))
    code = f"import sys; sys.path.insert(0, {str(site)!r}); from raydp_wrap.cli.submit import raydp_submit as main"
    return [sys.executable, "-c", f"{code}; sys.exit(main())"]


def run(submit: list[str], *words: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "RAYDP_WRAP_PLUGINS": "fake-spark"}
    return subprocess.run(
        [*submit, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60, **options
    )  # type: ignore[call-overload,no-any-return]


@pytest.mark.requirement("submit-alike")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGUSR1, signal.SIGTERM])
def test_a_command_that_died_of_a_signal_is_followed_by_it(submit: list[str], number: int) -> None:
    done = run(submit, f"kill -{number} $$")
    assert done.returncode == -number
    last = done.stderr.decode().splitlines()[-1]
    assert last.startswith("raydp-wrap: FAILED (AppFailed): the driver was ended by SIG")


@pytest.mark.requirement("submit-alike")
def test_a_signal_of_ours_is_not_followed(submit: list[str]) -> None:
    """The ladder's SIGKILL, of a command that did not heed the stop."""
    env = {**os.environ, "RAYDP_WRAP_PLUGINS": "fake-spark", "RAYDP_WRAP_GRACE": "0.1s"}
    script = "trap '' TERM; echo up; while :; do sleep 1000; done"
    with subprocess.Popen([*submit, script], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as face:
        assert face.stdout is not None
        assert face.stdout.readline() == b"up\n"
        face.terminate()
        _, said = face.communicate(timeout=60)
    assert face.returncode == 137
    assert said.startswith(b"raydp-wrap: KILLED (StopRequested): a stop was asked for by SIGTERM")


@pytest.mark.requirement("submit-alike")
def test_an_exit_code_stays_one(submit: list[str]) -> None:
    done = run(submit, "exit 137")
    assert done.returncode == 137
    assert done.stderr == b"raydp-wrap: FAILED (AppFailed): the driver exited with 137\n"


@pytest.mark.requirement("submit-alike")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
def test_what_is_ignored_stays_so_for_the_command_and_for_us(submit: list[str], number: int) -> None:
    def ignore() -> None:
        signal.signal(number, signal.SIG_IGN)

    # $PPID is the guard: its parent is the face.
    script = f'kill -{number} $$; read -r _ _ _ face _ < /proc/$PPID/stat; kill -{number} "$face"; echo lived'
    done = run(submit, script, preexec_fn=ignore)
    assert (done.returncode, done.stdout) == (0, b"lived\n")


@pytest.mark.requirement("submit-alike")
def test_what_a_shell_opened_for_an_argument_reaches_the_command(submit: list[str]) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(b"through the shell")
    try:
        done = run(submit, 'cat "$0"', f"/dev/fd/{reading}", pass_fds=(reading,))
    finally:
        os.close(reading)
    assert (done.returncode, done.stdout) == (0, b"through the shell")
