"""What a HotSpot JVM's thread dump and class histogram say of its application: is it done, and what keeps the JVM."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Main", "Thread", "Threads", "kept_alive", "named", "printed_exception", "read_threads", "still_exiting"]

# "name" #12 [4711] daemon prio=5 …: a Java thread. Those of the JVM itself have no number. A name may hold anything.
_THREAD: Final = re.compile(r'^"(.*)" #(\d+) (?:\[\d+\] )?(daemon )?prio=(.*)$')
_STATE: Final = re.compile(r"^   java\.lang\.Thread\.State: (\w+)")
# A method's class with its package; a class loader's name and the module go before a slash.
_FRAME: Final = re.compile(r"^\tat (?:[^(]*/)?([^(/]+\(.*)$")
_CPU: Final = re.compile(r" cpu=([\d.]+)ms")
_ELAPSED: Final = re.compile(r" elapsed=([\d.]+)s")
_NATIVE: Final = re.compile(r" nid=(0x[\da-f]+|\d+)")
_LONGEST_NAME: Final = 60
_ROOM: Final = 60
_MAIN_NUMBER: Final = 1
_DESTROYER: Final = "DestroyJavaVM"
_SHUTDOWN: Final = "java.lang.Shutdown."
_EXIT: Final = re.compile(r"java\.lang\.Shutdown\.(?:exit|runHooks|halt0?)\(")
_HOOK: Final = re.compile(r"^[^(]*ShutdownHook")
# What a server does while nobody wants anything of it. A read from a socket is somebody's answer that is waited for.
_EVENT_WAIT: Final = re.compile(
    r"sun\.nio\.ch\.(?:Net\.accept|ServerSocketChannelImpl\.accept0?|EPoll\.wait|EPollArrayWrapper\.epollWait"
    r"|PollSelectorImpl\.poll|PollArrayWrapper\.poll0|KQueue\.poll|KQueueArrayWrapper\.kevent0)\("
    r"|java\.net\.PlainSocketImpl\.socketAccept\("
    r"|(?:\w+\.)*channel\.(?:epoll|kqueue)\.Native\.(?:epollWait|epollBusyWait|keventWait)\d*\("
)
_POLL: Final = "sun.nio.ch.Net.poll("
_ACCEPT: Final = re.compile(r"^(?:sun\.nio\.ch|java\.net)\.\w+\.\w*[aA]ccept\(")
_WAITS_FOR_PROCESS: Final = re.compile(r"java\.lang\.(?:ProcessImpl|UNIXProcess|Process)\.waitFor\(")
_COUNT: Final = re.compile(r"^\s*\d+:\s+(\d+)\s+\d+\s+(\S+)")
_UNCAUGHT: Final = frozenset({"java.lang.Throwable$WrappedPrintStream", "java.lang.reflect.InvocationTargetException"})


class Main(Enum):
    """How far the application's main method is."""

    RUNNING = "running"
    ENDED = "ended"
    EXITING = "exiting"  # System.exit was called, and has not ended the JVM yet


@dataclass(frozen=True, slots=True)
class Thread:
    """One Java thread. CPU and ELAPSED (since its start) are seconds, None where the JVM is too old to say.

    NUMBER is the JVM's for it, NATIVE the kernel's in the JVM's namespace. FRAMES are what it executes, innermost
    first; none: the JVM's own code.
    """

    number: int
    name: str
    daemon: bool = False
    native: int = -1
    cpu: float | None = None
    elapsed: float | None = None
    state: str = ""
    frames: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Whether it does something, or waits for what is being done for it outside the JVM."""
        if any(_WAITS_FOR_PROCESS.match(frame) for frame in self.frames):
            return True
        return self.state == "RUNNABLE" and bool(self.frames) and not self._waits_for_events

    @property
    def exits(self) -> bool:
        """Whether it has called System.exit."""
        return not self.destroys and any(_EXIT.match(frame) for frame in self.frames)

    @property
    def destroys(self) -> bool:
        """Whether it is what becomes of the first thread when main has ended."""
        own = all(frame.startswith(_SHUTDOWN) for frame in self.frames[-1:])
        return self.name == _DESTROYER and not self.daemon and own

    @property
    def _waits_for_events(self) -> bool:
        if self.frames[0].startswith(_POLL):
            return any(_ACCEPT.match(frame) for frame in self.frames[:6])
        return _EVENT_WAIT.match(self.frames[0]) is not None


@dataclass(frozen=True, slots=True)
class Threads:
    """A thread dump in short."""

    main: Main
    all: tuple[Thread, ...]

    @property
    def keepers(self) -> tuple[Thread, ...]:
        """The non-daemon threads, which keep the JVM."""
        return tuple(thread for thread in self.all if not thread.daemon and not thread.destroys)

    def hooks(self, stopped_for: float) -> tuple[Thread, ...]:
        """The shutdown hooks' threads, as far as they can be told.

        They bear a hook's marks, or have begun in the STOPPED_FOR seconds since the application was done.
        """
        found = (thread for thread in self.all if thread.frames and not thread.exits and not thread.destroys)
        return tuple(
            thread
            for thread in found
            if any(_HOOK.match(frame) for frame in thread.frames)
            or (not thread.daemon and thread.elapsed is not None and thread.elapsed < stopped_for)
        )


def read_threads(dump: str) -> Threads:
    """What DUMP, as by ``jstack``, says.

    The thread that ran main is the first one that there is. When main has returned or thrown, it becomes another,
    which waits for the last non-daemon thread.
    """
    threads = tuple(_threads(dump))
    if any(thread.exits for thread in threads):
        main = Main.EXITING
    elif any(thread.destroys for thread in threads) and all(thread.number != _MAIN_NUMBER for thread in threads):
        main = Main.ENDED
    else:
        main = Main.RUNNING
    return Threads(main, threads)


def _threads(dump: str) -> Iterator[Thread]:
    head: re.Match[str] | None = None
    state, frames = "", list[str]()
    for line in (*dump.splitlines(), '"'):
        if line.startswith('"'):
            if head is not None:
                yield _thread(head, state, frames)
            head, state, frames = _THREAD.match(line), "", []
        elif match := _FRAME.match(line):
            frames.append(match[1])
        elif match := _STATE.match(line):
            state = match[1]


def _thread(head: re.Match[str], state: str, frames: Sequence[str]) -> Thread:
    name, number, daemon, rest = head.groups()
    cpu, elapsed, native = _CPU.search(rest), _ELAPSED.search(rest), _NATIVE.search(rest)
    return Thread(
        number=int(number),
        name=_shown(name),
        daemon=daemon is not None,
        native=int(native[1], 0) if native else -1,
        cpu=float(cpu[1]) / 1000 if cpu else None,
        elapsed=float(elapsed[1]) if elapsed else None,
        state=state,
        frames=tuple(frames),
    )


def printed_exception(histogram: str) -> bool:
    """Whether HISTOGRAM, of the unreachable objects too, bears the marks of a main that threw.

    SparkSubmit calls main by reflection, which wraps what main throws; the JVM then has it printed on a stream. Both
    leave an object behind, until the next garbage collection. An application that catches and prints such an exception
    leaves the same.
    """
    counted = (_COUNT.match(line) for line in histogram.splitlines())
    return {match[2] for match in counted if match and match[1] != "0"} >= _UNCAUGHT


def named(keepers: Sequence[str], most: int = 5) -> str:
    """KEEPERS as a clause's end: ``'a', 'b' and 3 more``."""
    text = ", ".join(f"'{name}'" for name in keepers[:most])
    return f"{text} and {len(keepers) - most} more" if len(keepers) > most else text


def kept_alive(keepers: Sequence[str]) -> str:
    """KEEPERS, of which there are some, as a clause of 60 bytes at most, which is what an exit record has room for."""
    return _fitting("kept alive by ", keepers) or f"kept alive by {len(keepers)} non-daemon threads"


def still_exiting(hooks: Sequence[str]) -> str:
    """Say so of an application that has called System.exit, and of HOOKS, in 60 bytes at most."""
    clause = _fitting("shutdown hooks do not end: ", hooks) if hooks else ""
    return clause or "System.exit was called, and its JVM does not end"


def _fitting(start: str, names: Sequence[str]) -> str:
    texts = (start + named(names, most) for most in range(5, 0, -1))
    return next((text for text in texts if len(text.encode()) <= _ROOM), "")


def _shown(name: str) -> str:
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"
