"""Two runs of one command line, side by side: Spark's own spark-submit and ours."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = Path(__file__).parents[1] / "programs"
PATIENCE = 60.0
# How long a process that is to survive is looked at.
LOOK = 0.3
OWN = "raydp-wrap: "
# Half the time to start. Set for both sides.
_QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
FASTER = {"SPARK_LAUNCHER_OPTS": _QUICK, "SPARK_SUBMIT_OPTS": _QUICK}
# What those look for who read spark-submit's merged output: Airflow's hook, Livy.
TOKENS = re.compile(
    r"application[0-9_]+|application_|driver-[0-9]|pod name: |submission ID spark:|spark-app-selector -> |"
    r"[eE]xit code: \d|version |Scala version |Exception in thread \"|driverState"
)
_VARYING = (
    (re.compile(r"^\d\d/\d\d/\d\d \d\d:\d\d:\d\d", re.MULTILINE), "TIME"),
    (re.compile(r"(?<=submitTime,)\d+"), "TIME"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
)
# A thread dump: addresses, times and threads are the JVM's own affair.
_DUMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\nFull thread dump .*?^Heap\n.*?^\n", re.MULTILINE | re.DOTALL)


def plain(text):
    """TEXT without what differs from run to run."""
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    return _DUMP.sub("THREAD DUMP\n", text)


def alike(app, one, other):
    """Whether two outputs are the same.

    A thread of the JVM's copies what Python writes, and nobody waits for it: how much of the end gets through a JVM
    that ends is chance, on both sides.
    """
    return one == other or (app == "python" and (one.startswith(other) or other.startswith(one)))


def assert_polite(ended):
    """Our own lines: none beside a success, few beside a failure, and the last; none with a token."""
    assert not ended.own or ended.status
    assert len(ended.own) <= 15
    assert not [line for line in ended.own if TOKENS.search(line)]


def outcomes(path):
    """All that a sink was told, which may come after the end where the wrapper was killed."""
    deadline = time.monotonic() + PATIENCE
    while not (path.exists() and path.read_bytes().endswith(b"}\n")):
        assert time.monotonic() < deadline, "the sink was told nothing"
        time.sleep(0.05)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tree(pid):
    """PID's descendants, by /proc."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
            parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        children = [child for child, of in parents.items() if of == parent]
        found += children
        todo += children
    return found


def words(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return os.fsdecode(file.read()).split("\0")


@dataclass(frozen=True)
class Ended:
    """How a run looked from outside. ``status`` is what a shell's $? says; ``left`` who was still there."""

    status: int
    stdout: str
    stderr: str
    own: tuple[str, ...] = ()
    left: frozenset[str] = frozenset()


@dataclass
class Run:
    """One side's run; ``members`` are the processes of its tree by what they are, once it has told."""

    name: str
    process: subprocess.Popen
    directory: Path
    fifo: int
    master: int | None = None
    members: dict[str, int] = field(default_factory=dict)
    pidfds: dict[str, int] = field(default_factory=dict)

    def told(self):
        """What the application says it was started with."""
        text, deadline = b"", time.monotonic() + PATIENCE
        while not text.endswith(b"\n"):
            left = deadline - time.monotonic()
            ended = os.pidfd_open(self.process.pid)
            try:
                ready = select.select([self.fifo, ended], [], [], max(left, 0))[0]
            finally:
                os.close(ended)
            if self.fifo not in ready:
                raise AssertionError(f"{self.name}: the application told nothing\n{self._text('stderr')[-3000:]}")
            text += os.read(self.fifo, 1 << 16)
        told = json.loads(text)
        self._know(told)
        return told

    def _know(self, told):
        self.members["pid"] = self.process.pid
        below = tree(self.process.pid)
        for pid in below:
            with contextlib.suppress(OSError):
                if words(pid)[0].startswith("raydp-guard"):
                    self.members["guard"] = pid
        if "ppid" in told:
            self.members |= {"python": told["pid"], "jvm": told["ppid"]}
        else:
            self.members["jvm"] = told["pid"]
        for name, pid in self.members.items():
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                self.pidfds[name] = os.pidfd_open(pid)

    def send(self, target, number):
        if target == "group":
            os.killpg(self.process.pid, number)
        else:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfds[target], number)

    def type(self, text):
        os.write(self.master, text)

    def wait_for(self, text):
        """Until stdout holds TEXT, or it has ended."""
        deadline = time.monotonic() + PATIENCE
        while text not in self._text("stdout") and self.process.poll() is None:
            assert time.monotonic() < deadline, f"{self.name}: {text!r} did not come"
            time.sleep(0.05)

    def ended(self, survivors=frozenset()):
        """Wait for the end. SURVIVORS are those that are expected to outlive it; the others may take their time."""
        if self.master is not None:
            threading.Thread(target=self._drain, daemon=True).start()
        code = self.process.wait(PATIENCE)
        left = set()
        for name, fd in self.pidfds.items():
            if name == "jvm" and self.members["jvm"] == self.members["pid"]:
                continue
            if not select.select([fd], [], [], LOOK if name in survivors else PATIENCE / 6)[0]:
                left.add(name)
        self.end()
        stderr = plain(self._text("stderr")).splitlines(keepends=True)
        own = []
        while self.name == "ours" and stderr and stderr[-1].startswith(OWN):
            own.insert(0, stderr.pop())
        return Ended(
            status=code if code >= 0 else 128 - code,
            stdout=plain(self._text("stdout")),
            stderr="".join(stderr),
            own=tuple(own),
            left=frozenset(left),
        )

    def end(self):
        """End whatever is left, and let go of it. Twice is no harm."""
        for name, fd in self.pidfds.items():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            select.select([fd], [], [], PATIENCE)
            if name != "pid":
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(self.members[name], os.WNOHANG)
            os.close(fd)
        self.pidfds = {}
        if self.process.poll() is None:
            for pid in [*tree(self.process.pid), self.process.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()

    def close(self):
        self.end()
        os.close(self.fifo)
        if self.master is not None:
            os.close(self.master)

    def _drain(self):
        with contextlib.suppress(OSError), open(self.directory / "stdout", "ab") as file:
            while data := os.read(self.master, 1 << 16):
                file.write(data)
                file.flush()

    def _text(self, name):
        path = self.directory / name
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


class Pair:
    """Starts both sides. ENV is what both are given."""

    def __init__(self, directory, env, *, stock, ours, jar):
        self.directory = directory
        self.env = env
        self.jar = jar
        self.stock = stock
        self._ours = ours
        self._runs = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for run in self._runs:
            run.close()

    def application(self, app, end, *arguments):
        """The words after the options, for :meth:`start`: ``FIFO`` stands for where a side tells."""
        program = [str(PROGRAMS / "observe.py")] if app == "python" else ["--class", "Observe", str(self.jar)]
        return [*program, "FIFO", end, *arguments]

    def start(self, argv, *, env=(), stdin=b"", tty=False, ignore=(), sides=("stock", "ours"), prefix=()):
        """Start the sides with ARGV; those that were started."""
        return [self._start(name, argv, {**self.env, **dict(env)}, stdin, tty, ignore, prefix) for name in sides]

    def _start(self, name, argv, env, stdin, tty, ignore, prefix):
        directory = self.directory / f"{name}-{len(self._runs)}"
        directory.mkdir()
        fifo = directory / "fifo"
        os.mkfifo(fifo)
        streams = [directory / "stdin", directory / "stdout", directory / "stderr"]
        streams[0].write_bytes(stdin)
        master = None
        if tty:
            master, slave = os.openpty()
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
            given = [slave] * 3
        else:
            given = [os.open(streams[0], os.O_RDONLY)]
            given += [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for path in streams[1:]]

        def before_exec():
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):  # whatever the tests were started with
                signal.signal(number, signal.SIG_DFL)
            for number in ignore:
                signal.signal(number, signal.SIG_IGN)
            if tty:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        process = subprocess.Popen(
            [
                *prefix,
                self.stock if name == "stock" else self._ours,
                *(str(fifo) if word == "FIFO" else word for word in argv),
            ],
            env=env,
            stdin=given[0],
            stdout=given[1],
            stderr=given[2],
            start_new_session=True,
            preexec_fn=before_exec,  # noqa: PLW1509 - it only sets signals and the terminal
            cwd=self.directory,
        )
        for fd in set(given):
            os.close(fd)
        run = Run(name, process, directory, os.open(fifo, os.O_RDWR | os.O_CLOEXEC), master)
        self._runs.append(run)
        return run
