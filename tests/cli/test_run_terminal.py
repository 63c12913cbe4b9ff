"""On a real terminal, with a real interactive shell: the run is a job like any other."""

from __future__ import annotations

import fcntl
import os
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from programs import wrapping
from programs.wrapping import PATIENCE, Wrap, alive, reap_orphans, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.requirement("run-3.2")

PROGRAMS = Path(wrapping.__file__).parent
CTRL_C, CTRL_D, CTRL_Z = "\x03", "\x04", "\x1a"


class Screen:
    """A terminal: what is typed into it and what has appeared on it."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.master, slave = os.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 500, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads here
        )
        os.close(slave)
        self.seen = ""
        self.at = 0

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def _read(self, timeout: float) -> bool:
        if not select.select([self.master], [], [], max(0.0, timeout))[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # every process has left the terminal
            return False
        self.seen += data.decode("utf-8", "replace").replace("\r", "")
        return bool(data)

    def expect(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """Wait until PATTERN appears after what has been expected before."""
        deadline = time.monotonic() + timeout
        while not (match := re.compile(pattern).search(self.seen, self.at)):
            if not self._read(deadline - time.monotonic()) and time.monotonic() >= deadline:
                raise AssertionError(
                    f"no {pattern!r} on the screen:\n{self.seen[self.at :]}\n-- before --\n{self.seen}"
                )
        self.at = match.end()
        return match

    def foreground(self) -> int:
        return os.tcgetpgrp(self.master)

    def hang_up(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


def suspend(shell: Screen, driver: int) -> None:
    """Type Ctrl-Z and wait for all to have stopped: the shell waits for its own child only."""
    shell.type(CTRL_Z)
    shell.expect(r"Stopped(.|\n)*<<148>> ")
    until(lambda: " T " in Path(f"/proc/{driver}/stat").read_text(), "the command is stopped")


@pytest.fixture
def screen(wrap: Wrap, tmp_path: Path) -> Iterator[Callable[..., Screen]]:
    """Make a terminal with a shell on it; the prompt is the last exit code in <<>>, `$W` is the run."""
    made: list[Screen] = []

    def make(*command: str) -> Screen:
        env = {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH", "RAYDP_WRAP_HOME")},
            "PS1": "<<$?>> ",
            "TERM": "dumb",
            "INPUTRC": "/dev/null",
            "HISTFILE": "",
            "HOME": str(tmp_path),
            "W": shlex.join(str(word) for word in wrap.argv("--report", str(wrap.report), "--")),
            "PYTHON": sys.executable,
        }
        made.append(Screen(list(command) or ["bash", "--norc", "--noprofile", "-i"], env))
        if not command:
            made[-1].expect("<<0>> ")
        return made[-1]

    yield make
    for each in made:
        each.hang_up()
        try:
            each.process.wait(20)
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()
    reap_orphans()


@pytest.fixture
def shell(screen: Callable[..., Screen]) -> Screen:
    return screen()


def test_output_and_code_are_the_commands(shell: Screen) -> None:
    shell.type("$W sh -c 'echo he\"\"llo; exit 7'\n")
    shell.expect("\nhello\n<<7>> ")


def test_input_comes_from_the_terminal(shell: Screen) -> None:
    shell.type("$W sh -c 'echo re\"\"ady; read x; echo got-$x'\n")
    shell.expect("\nready\n")
    shell.type("words\n")
    shell.expect("\ngot-words\n<<0>> ")


def test_ctrl_c_ends_the_command_with_130(shell: Screen, wrap: Wrap) -> None:
    shell.type("$W sh -c 'echo re\"\"ady; exec sleep 60'\n")
    shell.expect("\nready\n")
    shell.type(CTRL_C)
    shell.expect("<<130>> ")
    assert "raydp-wrap:" not in shell.seen
    assert (wrap.outcome()["state"], wrap.outcome()["signal"]) == ("KILLED", signal.SIGINT)
    assert wrap.left() == []


def test_ctrl_c_reaches_the_command_once(shell: Screen, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    shell.type(f"$W $PYTHON {PROGRAMS / 'on_signals.py'} {counts} SIGINT\n")
    shell.expect("\nready\n")
    for times in (1, 2):
        shell.type(CTRL_C)
        until(lambda times=times: counts.read_text().count("SIGINT") >= times, "it arrived")
    shell.type(CTRL_D)
    shell.expect("<<0>> ")
    assert counts.read_text() == "SIGINT\n" * 2


def test_a_command_that_handles_ctrl_c_goes_on(shell: Screen) -> None:
    shell.type('$W $PYTHON -q -i -c \'print("re" "ady")\'\n')
    shell.expect("ready\n>>> ")

    def interrupted() -> bool:  # Python misses one that comes between its prompt and its wait for a key
        shell.type(CTRL_C)
        try:
            return bool(shell.expect("KeyboardInterrupt\n>>> ", timeout=2))
        except AssertionError:
            return False

    until(interrupted, "Python was interrupted and goes on")
    shell.type("raise SystemExit(5)\n")
    shell.expect("<<5>> ")


def test_ctrl_c_ends_a_loop_around_the_command(shell: Screen) -> None:
    shell.type("for i in 1 2 3; do $W sh -c 'echo re\"\"ady; exec sleep 60'; done\n")
    shell.expect("\nready\n")
    shell.type(CTRL_C)
    shell.expect("<<130>> ")
    assert shell.seen.count("ready\n") == 1


def test_ctrl_c_ends_a_script_around_the_command(screen: Callable[..., Screen]) -> None:
    script = screen("bash", "-c", "$W sh -c 'echo ready; exec sleep 60'; echo went on")
    script.expect("ready\n")
    script.type(CTRL_C)
    assert script.process.wait(PATIENCE) == -signal.SIGINT
    script._read(1.0)
    assert "went on" not in script.seen


def test_ctrl_z_and_fg(shell: Screen) -> None:
    shell.type("$W sh -c 'echo pid $$; read x; echo got-$x'\n")
    suspend(shell, int(shell.expect(r"\npid (\d+)\n")[1]))
    shell.type("jobs\n")
    shell.expect(r"\[1\]\+ +Stopped")
    shell.expect("<<0>> ")
    shell.type("fg\n")
    shell.expect("got-.x'\n")  # the shell repeats the command line
    shell.type("again\n")
    shell.expect("\ngot-again\n<<0>> ")


def test_ctrl_z_stops_the_whole_job(shell: Screen) -> None:
    shell.type("$W sh -c 'echo pid $$; exec sleep 60'\n")
    driver = int(shell.expect(r"\npid (\d+)\n")[1])
    suspend(shell, driver)
    shell.type("kill %1; fg\n")
    shell.expect("<<143>> ")
    assert not alive(driver)


def test_bg_lets_it_go_on_and_leaves_the_shell_its_terminal(shell: Screen, tmp_path: Path) -> None:
    go, over = tmp_path / "go", tmp_path / "over"
    os.mkfifo(go)
    shell.type(f"$W sh -c 'echo pid $$; read x < {go}; echo > {over}; exit 3'\n")
    suspend(shell, int(shell.expect(r"\npid (\d+)\n")[1]))
    shell.type("bg\n")
    shell.expect("<<0>> ")
    go.write_text("now\n")
    until(over.exists, "the job went on in the background")
    shell.type("wait %1\n")
    shell.expect("<<3>> ")
    assert shell.foreground() == shell.process.pid
    shell.type("read line; echo still-$line\n")
    shell.type("here\n")
    shell.expect("\nstill-here\n<<0>> ")


def test_a_background_job_that_reads_is_stopped_until_fg(shell: Screen, wrap: Wrap) -> None:
    shell.type("$W sh -c 'echo re\"\"ady; read x; echo got-$x' &\n")
    shell.expect("ready\n")

    def stopped() -> bool:
        shell.type("jobs\n")
        return "Stopped" in shell.expect(r"\[1\]\+ +(Running|Stopped)")[0]

    until(stopped, "SIGTTIN stopped it")
    shell.type("fg\n")
    shell.expect("got-.x'\n")
    shell.type("words\n")
    shell.expect("\ngot-words\n<<0>> ")
    assert wrap.outcome()["state"] == "FINISHED"


def test_the_windows_size_reaches_the_command(shell: Screen, tmp_path: Path) -> None:
    over = tmp_path / "over"
    loop = f"until [ -e {over} ]; do sleep 0.02; done"
    shell.type(f'$W bash -c \'trap "stty size" WINCH; echo re""ady; {loop}\'\n')
    shell.expect("\nready\n")
    fcntl.ioctl(shell.master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    shell.expect("(?m)^33 77\n")
    over.touch()
    shell.expect("<<0>> ")


OWN_GROUP = """
import os, signal, sys, time
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if not child:
    os.setpgid(0, 0)
    time.sleep(60)
os.setpgid(child, child)
os.tcsetpgrp(0, child)
print("taken", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_terminal_that_a_killed_job_held_is_taken_back(screen: Callable[..., Screen], tmp_path: Path) -> None:
    """Within a script: an interactive shell helps itself, a script doesn't."""
    (tmp_path / "own.py").write_text(OWN_GROUP)
    script = screen("bash", "-c", f"$W $PYTHON {tmp_path}/own.py; echo code $?; read x; echo got-$x")
    script.expect("taken\n")
    script.expect("code 137\n")
    script.type("words\n")
    script.expect("\ngot-words\n")
    assert script.process.wait(PATIENCE) == 0


def test_the_modes_that_a_killed_job_left_are_put_right(screen: Callable[..., Screen]) -> None:
    script = screen(
        "bash", "-c", "$W sh -c 'stty raw -echo; kill -9 $$'; echo code $?; stty -a; $W stty -echo; stty -a"
    )
    script.expect("code 137")
    modes = script.expect(r"(?s)speed.*?\biexten\b[^\n]*\n[^\n]*")[0]
    assert " icanon" in modes
    assert " -icanon" not in modes
    assert " -echo " not in modes
    # What a command sets that exits by itself is its caller's to have.
    script.expect("(?s)speed.* -echo ")
    script.process.wait(PATIENCE)


def test_a_pipeline_on_the_terminal(shell: Screen) -> None:
    shell.type("$W sh -c 'echo pid $$; read x; echo b-$x' | cat -A\n")
    suspend(shell, int(shell.expect(r"\npid (\d+)\$\n")[1]))
    shell.type("fg\n")
    shell.expect("fg\n.*\n")
    shell.type("words\n")
    shell.expect(r"\nb-words\$\n")
    shell.expect("<<0>> ")


def test_term_from_elsewhere_stops_it(shell: Screen, wrap: Wrap) -> None:
    shell.type("$W sh -c 'echo pid $PPID; exec sleep 60'\n")
    guard = int(shell.expect(r"\npid (\d+)\n")[1])
    owner = int(Path(f"/proc/{guard}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(owner, signal.SIGTERM)
    shell.expect("<<143>> ")
    assert wrap.outcome()["state"] == "KILLED"


def test_the_owner_killed_on_a_terminal(shell: Screen, wrap: Wrap) -> None:
    shell.type("$W sh -c 'echo pid $PPID $$; sleep 60; exit'\n")
    guard, driver = map(int, shell.expect(r"\npid (\d+) (\d+)\n").groups())
    owner = int(Path(f"/proc/{guard}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(owner, signal.SIGKILL)
    shell.expect("<<137>> ")
    until(wrap.report.exists, "the report is delivered")
    assert not alive(driver)
    assert wrap.outcome()["reason"] == "OwnerDied"
    shell.type("read line; echo still-$line\nhere\n")
    shell.expect("\nstill-here\n")


@pytest.mark.parametrize("leader", ["shell", "run"])
def test_a_hangup_ends_the_job_and_its_tree(screen: Callable[..., Screen], wrap: Wrap, leader: str) -> None:
    """A closed window, a lost connection. As the leader of its session the run alone is told of it."""
    command = "sleep 61 & setsid sleep 62 & echo pid $$ $!; wait"
    if leader == "shell":
        window = screen()
        window.type(f"$W sh -c '{command}'\n")
    else:
        argv = wrap.argv("--report", str(wrap.report), "--", "sh", "-c", command)
        window = screen(*[str(word) for word in argv])
    pids = [int(pid) for pid in window.expect(r"(?m)^pid (\d+) (\d+)\n").groups()]
    assert all(map(alive, pids))
    window.hang_up()
    window.process.wait(PATIENCE)
    until(lambda: not any(map(alive, pids)), "the tree is gone")
    until(wrap.report.exists, "the report is written")
    assert (wrap.outcome()["state"], wrap.outcome()["signal"]) == ("KILLED", signal.SIGHUP)
    until(lambda: wrap.left() == [], "nothing is left")


def test_nohup_outlives_the_terminal(screen: Callable[..., Screen], wrap: Wrap, tmp_path: Path) -> None:
    go = tmp_path / "go"
    window = screen()
    job = f"echo pid $$ >&2; until [ -e {go} ]; do sleep 0.02; done; exit 4"
    window.type(f"nohup $W sh -c '{job}' > /dev/null 2> {tmp_path}/err < /dev/null &\n")
    said = tmp_path / "err"
    until(lambda: said.exists() and "pid" in said.read_text(), "it runs")
    driver = int(said.read_text().split()[-1])
    window.hang_up()
    window.process.wait(PATIENCE)
    assert alive(driver)
    go.touch()
    until(wrap.report.exists, "it went on to its end")
    assert wrap.outcome()["exit_code"] == 4
