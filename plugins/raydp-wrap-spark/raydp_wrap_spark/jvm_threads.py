"""What a HotSpot JVM's thread dump and class histogram say of its application: is it done, and what keeps the JVM."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Main", "Threads", "kept_alive", "named", "printed_exception", "read_threads"]

# "name" #12 [4711] daemon prio=5 …: a Java thread. Those of the JVM itself have no number. A name may hold anything.
_THREAD: Final = re.compile(r'^"(.*)" #(\d+) (?:\[\d+\] )?(daemon )?prio=')
_LONGEST_NAME: Final = 60
_ROOM: Final = 60
_MAIN_NUMBER: Final = "1"
_DESTROYER: Final = "DestroyJavaVM"
_EXIT: Final = re.compile(r"^\tat java\.lang\.Shutdown\.(?:exit|runHooks|halt0?)\(")
_COUNT: Final = re.compile(r"^\s*\d+:\s+(\d+)\s+\d+\s+(\S+)")
_UNCAUGHT: Final = frozenset({"java.lang.Throwable$WrappedPrintStream", "java.lang.reflect.InvocationTargetException"})


class Main(Enum):
    """How far the application's main method is."""

    RUNNING = "running"
    ENDED = "ended"
    EXITING = "exiting"  # System.exit was called, and a shutdown hook does not end


@dataclass(frozen=True, slots=True)
class Threads:
    """A thread dump in short. KEEPERS are the names of the non-daemon threads, which keep the JVM."""

    main: Main
    keepers: tuple[str, ...]


def read_threads(dump: str) -> Threads:
    """What DUMP, as by ``jstack``, says.

    The thread that ran main is the first one that there is. When main has returned or thrown, it becomes another,
    which waits for the last non-daemon thread.
    """
    main_lives = destroys = exits = False
    keepers: list[str] = []
    for line in dump.splitlines():
        if match := _THREAD.match(line):
            name, number, daemon = match.groups()
            main_lives |= number == _MAIN_NUMBER
            if name == _DESTROYER:
                destroys = True
            elif not daemon:
                keepers.append(_shown(name))
        elif _EXIT.match(line):
            exits = True
    if destroys and not main_lives:
        return Threads(Main.ENDED, tuple(keepers))
    return Threads(Main.EXITING if exits else Main.RUNNING, tuple(keepers))


def printed_exception(histogram: str) -> bool:
    """Whether HISTOGRAM, of the unreachable objects too, bears the marks of a main that threw.

    SparkSubmit calls main by reflection, which wraps what main throws; the JVM then has it printed on a stream. Both
    leave an object behind, until the next garbage collection.
    """
    counted = (_COUNT.match(line) for line in histogram.splitlines())
    return {match[2] for match in counted if match and match[1] != "0"} >= _UNCAUGHT


def named(keepers: Sequence[str], most: int = 5) -> str:
    """KEEPERS as a clause's end: ``'a', 'b' and 3 more``."""
    text = ", ".join(f"'{name}'" for name in keepers[:most])
    return f"{text} and {len(keepers) - most} more" if len(keepers) > most else text


def kept_alive(keepers: Sequence[str]) -> str:
    """KEEPERS, of which there are some, as a clause of 60 bytes at most, which is what an exit record has room for."""
    for most in range(5, 0, -1):
        text = f"kept alive by {named(keepers, most)}"
        if len(text.encode()) <= _ROOM:
            return text
    return f"kept alive by {len(keepers)} non-daemon threads"


def _shown(name: str) -> str:
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"
