"""What spark-submit does at the end of an application, and what ours does: one row a case.

A row is measured on both sides by test_ends.py, which fails where it is untrue. ``why`` says where, and why, ours
differs on purpose; without it, both are the same in all that can be seen. Two differences have tests of their own: a
JVM that hangs (test_ends.py), and a standalone cluster's driver that failed (tests/cluster).
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

HUP, INT, QUIT, KILL, USR1, TERM = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGKILL,
    signal.SIGUSR1,
    signal.SIGTERM,
)
NO_SURVIVORS = "nothing survives: PySpark leaves its Python behind when the JVM is ended"


@dataclass(frozen=True)
class Seen:
    """``status`` is what a shell's $? says, ``left`` who outlives the command."""

    status: int
    left: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Row:
    """``end`` is what the application is told to do, ``signals`` what it gets while it waits (to whom, which).

    ``outcome`` is what ours tells its sinks, once.
    """

    app: str
    end: str
    stock: Seen
    ours: Seen
    outcome: str
    why: str = ""
    signals: tuple[tuple[str, int], ...] = ()
    ignore: tuple[int, ...] = ()

    def __str__(self):
        sent = " then ".join(f"{signal.Signals(number).name} to the {target}" for target, number in self.signals)
        kept = " ".join(f"with {signal.Signals(number).name} ignored" for number in self.ignore)
        return " ".join(filter(None, (self.app, self.end if self.end != "wait" else "", sent, kept)))


FAILED = "FAILED AppFailed"
STOPPED = "KILLED StopRequested"
ABANDONED = "KILLED OwnerDied"


def _same(app, end, status, outcome=FAILED, **more):
    return Row(app, end, Seen(status), Seen(status), outcome, **more)


def _signal(app, target, number, status, outcome=FAILED, **more):
    return _same(app, "wait", status, outcome, signals=((target, number),), **more)


def _orphan(target, number, status, outcome):
    survivor = Seen(status, frozenset({"python"}))
    return Row("python", "wait", survivor, Seen(status), outcome, NO_SURVIVORS, ((target, number),))


ROWS = (
    _same("python", "exit:0", 0, "FINISHED"),
    _same("python", "exit:3", 3),
    _same("python", "raise", 1),
    _same("java", "exit:0", 0, "FINISHED"),
    _same("java", "return", 0, "FINISHED"),
    *(_same("java", f"exit:{code}", code) for code in (3, 11, 50, 51, 52, 101, 124, 127)),
    _same("java", "exit:-1", 255),
    _same("java", "raise", 1),
    _same("java", "oom", 1),
    _same("java", "halt:4", 4),
    _orphan("pid", TERM, 143, STOPPED),
    _orphan("pid", HUP, 129, STOPPED),
    _orphan("pid", INT, 130, STOPPED),
    _orphan("pid", KILL, 137, ABANDONED),
    _orphan("jvm", TERM, 143, FAILED),
    _orphan("jvm", KILL, 137, FAILED),
    _signal("python", "python", TERM, 143),
    _signal("python", "python", KILL, 137),
    _signal("python", "group", TERM, 143, STOPPED),
    _signal("python", "group", INT, 130, STOPPED),
    _signal("java", "pid", TERM, 143, STOPPED),
    _signal("java", "pid", HUP, 129, STOPPED),
    _signal("java", "pid", INT, 130, STOPPED),
    _signal("java", "pid", KILL, 137, ABANDONED),
    _signal("java", "pid", USR1, 138, STOPPED),
    # A thread dump, and it goes on.
    _same("java", "wait", 143, STOPPED, signals=(("pid", QUIT), ("pid", TERM))),
    # nohup, and a shell's background job. Heeded, the first signal makes the code 129 or 130.
    _same("java", "wait", 143, STOPPED, signals=(("pid", HUP), ("pid", QUIT), ("pid", TERM)), ignore=(HUP,)),
    _same("java", "wait", 143, STOPPED, signals=(("pid", INT), ("pid", QUIT), ("pid", TERM)), ignore=(INT,)),
)

#: Command lines that start no application, or can't: the exit code, of both.
COMMANDS = (
    ([], 255),
    (["--version"], 0),
    (["--help"], 0),
    (["--bogus", "app.py"], 1),
    (["--master"], 1),
    (["--conf", "x", "app.py"], 1),
    (["--class", "No.Such", "JAR"], 101),
    (["/no/such.py"], 2),
    (["/no/such.jar"], 1),
    (["--master", "local", "--deploy-mode", "cluster", "app.py"], 1),
    (["--master", "local", "--kill", "x"], 1),
    (["--master", "local", "--status", "x"], 1),
)

#: An installation that is broken. spark-submit's shell says so in its words, with file and line, we in one sentence.
BROKEN = (
    ({"SPARK_HOME": "/no/such"}, ["--version"], 127),
    ({"JAVA_HOME": "/no/such"}, ["--version"], 1),
    ({"SPARK_LAUNCHER_OPTS": "-Xbogus"}, ["--version"], 1),
    ({"SPARK_LAUNCHER_OPTS": "-Xmx9999999g"}, ["--version"], 1),
    ({}, ["run-example", "SparkPi"], 1),  # the package comes without the examples
)

#: In the application's environment: what each run has of its own, and what a shell sets about itself.
PRIVATE = {
    "PYSPARK_GATEWAY_PORT": "each run's own",
    "PYSPARK_GATEWAY_SECRET": "each run's own",
    "_": "bash's, about itself",
    "SHLVL": "bash's, about itself",
    "PWD": "bash's, about itself: set where it was not",
    "OLDPWD": "bash's, about itself",
    "SPARK_BEELINE_OPTS": "only beeline reads it",
    "RAYDP_WRAP_ATTEMPT_ID": "ours: whose process it is",
    "_SPARK_LAUNCHER_PORT": "ours: the launcher protocol",
    "_SPARK_LAUNCHER_SECRET": "ours: the launcher protocol",
}
