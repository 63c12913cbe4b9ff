"""One job's process tree, held by a guard process of its own."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal as signals
import time
import warnings
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from raydp_wrap._native import ffi, lib
from raydp_wrap.errors import (
    GuardLostError,
    GuardUnresponsiveError,
    RaydpWrapError,
    RecordError,
    StartError,
    StopPendingError,
    UsageError,
    WaitTimeoutError,
)
from raydp_wrap.model import Cause, ExitRecord, Stop, Usage
from raydp_wrap.process import _core, cgroup
from raydp_wrap.process import record as records
from raydp_wrap.process.handover import SOCK_SEQPACKET, Handover
from raydp_wrap.process.spawn import Process
from raydp_wrap.process.sweep import MARK, sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from raydp_wrap.model import Launch
    from raydp_wrap.process.handover import Placement

GUARD_PATH = str(Path(__file__).parent.parent / "raydp-guard")
DEFAULT_GRACE = 10.0
SWEEP_GRACE = 0.5
REAP_TIMEOUT = 5.0
ANSWER_TIMEOUT = 5.0

Containment = Literal["auto", "tree", "cgroup"]

_TELL_SIZE = ffi.sizeof("rd_guard_tell")


def _resolved(path: str) -> str:
    """PATH without a way through a descriptor of this process (``/proc/self/fd/4``, ``/dev/stdin``)."""
    if not path.startswith(("/proc/", "/dev/")):
        return path
    real = os.path.realpath(path)
    return real if os.path.exists(real) else path


def _signal(number: int) -> int:
    if number not in records.SIGNALS:
        raise UsageError(f"{number} is no signal: give a number from 1 to 64.")
    return int(number)


class Phase(Enum):
    """Where the job stands, as its guard tells it."""

    STARTING = lib.RD_PHASE_STARTING
    RUNNING = lib.RD_PHASE_RUNNING
    STOPPING = lib.RD_PHASE_STOPPING
    SWEEPING = lib.RD_PHASE_SWEEPING
    ENDED = lib.RD_PHASE_ENDED


class News(Enum):
    """What a guard's message is about."""

    STARTED = lib.RD_TELL_STARTED
    START_FAILED = lib.RD_TELL_START_FAILED
    STOPPING = lib.RD_TELL_STOPPING
    PENDING = lib.RD_TELL_PENDING
    ENDED = lib.RD_TELL_ENDED
    STATE = lib.RD_TELL_STATE


@dataclass(frozen=True, slots=True)
class Told:
    """One message of the guard; ``survivors`` are the pids that SIGKILL has not ended yet (PENDING)."""

    news: News
    phase: Phase
    guard_pid: int
    driver_pid: int
    cause: Cause
    survivors: tuple[int, ...] = ()


class Guard:
    """A running guard and the tree it holds. Made by :meth:`start` or :meth:`connect`.

    Attached (the default), the tree lives no longer than this process, whatever ends it, nor than this
    object: :meth:`close` ends it. Detached, it lives on, and :meth:`connect` finds it again. All methods may
    be called from any thread, one thread at a time.
    """

    _channel = -1

    def __init__(self, channel: int, identity: str, process: Process | None, *, detached: bool) -> None:
        """Not for callers: use :meth:`start` or :meth:`connect`."""
        self.identity = identity
        self.detached = detached
        self.pid = 0
        self.guard_pid = 0
        self.phase = Phase.STARTING
        self._process = process
        self._record: ExitRecord | None = None
        self._record_path: Path | None = None
        self._stop: Stop | None = None
        self._passed_on: set[int] = set()
        self._noted: set[int] = set()
        self._cgroup: tuple[str, str] | None = None
        self._in_cgroup = False
        self._started_at = time.time()
        self._owner = os.getpid()
        self._patience = ANSWER_TIMEOUT
        self._channel = channel  # last: from here on __del__ has something to do

    # -- start --------------------------------------------------------------------------------

    @classmethod
    def start(  # noqa: C901, PLR0912, PLR0915 - one start, one place; each branch is one option
        cls,
        launch: Launch,
        *,
        identity: str | None = None,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        grace: float = DEFAULT_GRACE,
        stop_signal: int = signals.SIGTERM,
        sweep_grace: float = SWEEP_GRACE,
        reap_timeout: float = REAP_TIMEOUT,
        active_deadline: float | None = None,
        start_deadline: float | None = None,
        record: str | os.PathLike[str] | None = None,
        on_owner_death: Sequence[str] = (),
        detached: bool = False,
        socket: str | os.PathLike[str] | None = None,
        placement: Placement = "session",
        keep_ignored: Sequence[int] = (),
        containment: Containment = "auto",
        hold: Sequence[int] = (),
        look_after_output: bool = False,
        log_limit: int | None = None,
    ) -> Guard:
        """Start LAUNCH under a guard of its own, and return once its program runs.

        GRACE seconds lie between the stop signal and SIGKILL; SWEEP_GRACE is the same for what the driver
        leaves behind, and after the owner's death; REAP_TIMEOUT is how long after SIGKILL a survivor is
        reported. ACTIVE_DEADLINE and START_DEADLINE (until :meth:`ready`) count from the start and are kept
        by the guard. RECORD is the file the exit record goes to. ON_OWNER_DEATH is a command (its first
        word a path) that an attached guard starts, with the record on its stdin, when this process died
        before :meth:`done`. SOCKET, in the same directory as RECORD, is where a detached guard listens.

        PLACEMENT is the driver's: ``session`` makes it leader of its own session, ``group`` of its own process
        group, ``shared`` leaves it in this process's group (and on its terminal). CONTAINMENT ``auto`` uses a
        cgroup where one can be made, ``tree`` doesn't, ``cgroup`` insists.

        HOLD are at most 32 descriptors of ours that the guard keeps open until its own end, however it ends, and
        ON_OWNER_DEATH after it; the driver doesn't get them. A lock (flock) on such an open file is held while one of
        us three lives. ON_OWNER_DEATH has our environment as it is now, whatever the driver's is.

        LOOK_AFTER_OUTPUT is for a driver that writes straight into files in RECORD's directory: STDOUT, and with
        ``launch.split_output`` STDERR too. The guard writes down how far they were when (in ``times`` beside the
        record), and drops the oldest bytes of a file that has more than LOG_LIMIT on the disk; offsets stay what they
        are. It looks at most once a second, and only while they grow.

        Raises:
            CommandNotFoundError, CommandNotExecutableError, StartError: it did not start; nothing is left.
            UsageError: the request makes no sense, or ``cgroup`` was insisted on in vain.

        """
        identity = identity or os.urandom(8).hex()
        if not launch.argv:
            raise UsageError("there is no command to run: give at least its name.")
        if socket is not None and (record is None or Path(socket).parent != Path(record).parent):
            raise UsageError("the socket lies in the record's directory: give both, in one directory.")
        if look_after_output and record is None:
            raise UsageError("the output lies in the record's directory: give the record too.")
        parent, oom_counter = cgroup.locate()
        if containment == "cgroup" and parent is None:
            raise UsageError("no cgroup v2 that can be written to is mounted here: leave the containment at auto.")
        env = {**(os.environ if launch.env is None else launch.env)}
        executable = _core.which(launch.executable or launch.argv[0], env, launch.cwd)
        # The guard's child looks both up, with descriptors of its own: what leads through ours is resolved here.
        executable, cwd = _resolved(executable), launch.cwd and _resolved(launch.cwd)
        delivers_in_ours = on_owner_death and not detached and launch.env is not None and env != os.environ
        env[MARK] = identity

        stdout = launch.stdout if stdout is None else stdout
        stderr = launch.stderr if stderr is None else stderr
        channel = ffi.new("int32_t[2]", [-1, -1])
        name = None
        try:
            with Handover(launch, identity) as handover:
                config = handover.config
                config.flags = lib.RD_GUARD_DETACHED if detached else 0
                config.stop_signal = stop_signal
                config.deliver_argc = len(on_owner_death)
                handover.place(placement, keep_ignored)
                handover.time(grace, sweep_grace, reap_timeout, active_deadline, start_deadline)
                _core.check(lib.rd_channel_new(channel))
                life = handover.give(channel[1])
                if record is not None:
                    handover.record_to(Path(record))
                if look_after_output:
                    handover.look_after_output(log_limit, split=launch.split_output)
                if socket is not None:
                    handover.listen_on(socket)
                if parent is not None and containment != "tree":
                    name = handover.cgroup_below(parent)
                if oom_counter is not None:
                    handover.count_oom_kills(oom_counter)
                handover.hold(hold)
                if delivers_in_ours:
                    handover.deliver_in(os.environ)
                handover.send(channel[0])
                process = Process(
                    ["raydp-guard", str(life), executable, cwd or "", *on_owner_death, *launch.argv],
                    executable=GUARD_PATH,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    env=env,
                    pass_fds=launch.pass_fds,
                    fds=handover.fds,
                    new_session=placement == "session",
                    new_group=placement != "session",
                    keep_ignored=keep_ignored,
                )
        except BaseException as error:
            if channel[0] >= 0:
                os.close(channel[0])
            if isinstance(error, OSError) and not isinstance(error, RaydpWrapError):
                message = f"{executable}: its guard can't be set up: {error.strerror}"
                raise StartError(error.errno or 0, message, error.filename, stage="guard") from error
            raise
        finally:
            if channel[1] >= 0:
                os.close(channel[1])
        self = None
        try:
            self = cls(channel[0], identity, process, detached=detached)
            self.guard_pid = process.pid
            self._record_path = None if record is None else Path(record)
            self._cgroup = (parent, name) if parent is not None and name is not None else None
            self._patience = min(grace, sweep_grace) + reap_timeout + ANSWER_TIMEOUT
            self._await_start(executable, launch.cwd)
            if containment == "cgroup" and not self._in_cgroup:
                raise UsageError(f"the cgroup {parent} can't be entered: leave the containment at auto.")  # noqa: TRY301
        except BaseException:  # nobody will know of it: it must not live on, attached or not
            if self is None:
                os.close(channel[0])
            else:
                self.detached = False
                self.close()
            raise
        return self

    def _await_start(self, executable: str, cwd: str | None) -> None:
        tell = self._receive()
        if tell is None:
            self._end_lost()
            self._sweep()
            raise GuardLostError("the guard ended before it told whether the command was started.")
        if tell.type == lib.RD_TELL_START_FAILED:
            self._end_lost()
            raise _core.start_error(tell.stage, tell.err, executable, cwd)
        self._note(tell)

    @classmethod
    def connect(cls, socket: str | os.PathLike[str], *, timeout: float = 5.0) -> Guard:
        """Connect to the detached guard that listens on SOCKET.

        Raises:
            GuardLostError: nobody listens there; the record tells the rest.
            GuardUnresponsiveError: connected, but it says nothing within TIMEOUT seconds.

        """
        ret = lib.rd_uds_connect(os.fsencode(socket), SOCK_SEQPACKET)
        if ret in (-errno.ENOENT, -errno.ECONNREFUSED):
            raise GuardLostError(f"no guard listens on {os.fspath(socket)}.")
        self = cls(_core.check(ret), "", None, detached=True)
        os.set_blocking(self._channel, True)
        try:
            tell = self._receive(timeout)
        except BaseException:
            self.close()
            raise
        if tell is None:
            self.close()
            raise GuardLostError(
                f"the guard on {os.fspath(socket)} hung up: it ended just now, or serves another user only."
            )
        self._note(tell)
        return self

    # -- messages -----------------------------------------------------------------------------

    def fileno(self) -> int:
        """A descriptor that is readable when :meth:`read` has something to return."""
        return self._channel

    def _poll(self, events: int, timeout: float) -> None:
        poll = select.poll()
        poll.register(self._channel, events)
        if not poll.poll(timeout * 1000):
            who = f"the guard {self.guard_pid}" if self.guard_pid else "the guard"
            raise GuardUnresponsiveError(f"{who} does not answer within {timeout} s")

    def _receive(self, timeout: float | None = None) -> Any:
        """The next ``rd_guard_tell``, or None when the guard is gone."""
        if timeout is not None:
            self._poll(select.POLLIN, timeout)
        try:
            data = os.read(self._channel, _TELL_SIZE)
        except ConnectionResetError:
            # It left with a message of ours unread: told once, before what it had said until then.
            data = os.read(self._channel, _TELL_SIZE)
        if not data:
            return None
        tell = ffi.new("rd_guard_tell *")
        if len(data) != _TELL_SIZE:
            raise RecordError("the guard speaks another version of the protocol.")
        ffi.memmove(tell, data, len(data))
        if tell.version != lib.RD_GUARD_VERSION:
            raise RecordError(f"the guard speaks version {tell.version} of the protocol.")
        return tell

    def _note(self, tell: Any) -> Told:
        raw = tell.record
        self._in_cgroup = bool(raw.cgroup)
        self.pid, self.guard_pid, self.phase = raw.driver_pid, raw.guard_pid, Phase(raw.phase)
        if tell.type == lib.RD_TELL_ENDED:
            record = self._with_notes(records.from_tell(tell, self.identity))
            self._record = record if record.tree_empty or self._process is None else self._finish_off(record)
        count = max(0, min(8, raw.survivors))
        return Told(
            News(tell.type),
            self.phase,
            raw.guard_pid,
            raw.driver_pid,
            records.cause_of(raw.cause),
            tuple(raw.survivor_pid)[:count] if tell.type == lib.RD_TELL_PENDING else (),
        )

    def read(self) -> Told | None:
        """The next message (waits for one); None when the guard is gone: :meth:`wait` then tells the end."""
        tell = self._receive()
        return None if tell is None else self._note(tell)

    def _ask(
        self, kind: int, *, signal: int = 0, delay: float = 0.0, grace: float | None = None, label: str = ""
    ) -> None:
        ask = ffi.new("rd_guard_ask *")
        ask.version, ask.type, ask.signal = lib.RD_GUARD_VERSION, kind, signal
        ask.delay_ms = int(max(0.0, min(delay * 1000, 2**31 - 1)))
        ask.grace_ns = _core.to_ns(grace)
        # Whatever is in it, and however long it is: a label must keep nobody from being asked.
        data = label.encode(errors="replace")[: len(ask.label) - 1].decode(errors="ignore").encode()
        ffi.memmove(ask.label, data, len(data))
        self._poll(select.POLLOUT, ANSWER_TIMEOUT)  # a stopped guard's queue fills up
        ret = lib.rd_channel_send(self._channel, ask, ffi.sizeof("rd_guard_ask"))
        if ret not in (-errno.EPIPE, -errno.ECONNRESET):
            _core.check(ret)  # a guard that is gone is noticed, and told of, where its end is read

    def stop(self, *, signal: int = 0, delay: float = 0.0, grace: float | None = None, label: str = "") -> None:
        """Ask the driver to stop: SIGNAL and GRACE default to those of the start. Asking again may shorten both times.

        DELAY seconds lie between this request and the first signal, for an owner that asks the driver in another
        way first; the grace follows them. The request is noted here before it is sent: should the guard die
        of anything, it still counts.
        """
        if self._stop is None:
            self._stop = Stop(signal, os.getpid(), os.getuid(), time.time(), label)
        self._ask(lib.RD_ASK_STOP, signal=signal, delay=delay, grace=grace, label=label)
        self._wake()

    def postpone(self, delay: float) -> None:
        """Have the first signal come DELAY seconds from now, be it later than :meth:`stop` was told.

        For an owner that has found out only now how long the driver needs. The grace follows as before. Of no effect
        once the signal was sent.
        """
        self._ask(lib.RD_ASK_POSTPONE, delay=delay)

    def force(self, *, label: str = "") -> None:
        """End a driver whose work is done, and that would not end by itself: no stop was asked for, says the record.

        LABEL says why, in no more than 60 bytes. Where a stop was asked for already, the record stays with that, and
        what is left of its delay is over.
        """
        self._ask(lib.RD_ASK_FORCE, label=label)
        self._wake()

    def _wake(self) -> None:
        if self._process is not None:
            self._process.send_signal(signals.SIGCONT)  # a stopped guard ends nothing

    def send_signal(self, number: int) -> None:
        """Pass a signal on to the driver. It is no stop, but the record says that it was passed on.

        Raises:
            UsageError: NUMBER is none from 1 to 64.

        """
        self._passed_on.add(_signal(number))
        self._ask(lib.RD_ASK_SIGNAL, signal=number)

    def note_signal(self, number: int) -> None:
        """Have the record say that the driver got a signal which we didn't send, nor has the guard to.

        A terminal sends its signals to the whole foreground group: to us and to the driver, past the guard. A
        note that comes before :meth:`wait` returns is in its record. One that comes after the guard has written
        the file is not in the file, but the delivery command is told.

        Raises:
            UsageError: NUMBER is none from 1 to 64.

        """
        self._noted.add(_signal(number))
        self._ask(lib.RD_ASK_NOTE, signal=number)

    def ready(self) -> None:
        """Say that the job is up: the start deadline is met."""
        self._ask(lib.RD_ASK_READY)

    def state(self, timeout: float = 5.0) -> Phase:
        """Ask the guard where the job stands.

        Raises:
            GuardUnresponsiveError: no answer within TIMEOUT seconds (a stopped guard): the state is UNKNOWN.
            GuardLostError: the guard is gone; :meth:`wait` tells the end.

        """
        if self._record is not None:
            return Phase.ENDED
        self._ask(lib.RD_ASK_STATE)
        deadline = time.monotonic() + timeout
        while True:
            tell = self._receive(max(0.0, deadline - time.monotonic()))
            if tell is None:
                raise GuardLostError("the guard is gone.")
            told = self._note(tell)
            if told.news in (News.STATE, News.ENDED):
                return told.phase

    # -- the end ------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> ExitRecord:
        """Wait until the tree is empty; how the job ended.

        A guard that was killed cannot tell: the record is then read from its file, else made up truthfully
        (cause GUARD_LOST, no driver status), after what survived has been swept.

        Raises:
            WaitTimeoutError: it had not ended within TIMEOUT seconds.

        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._record is None:
            try:
                tell = self._receive(None if deadline is None else max(0.0, deadline - time.monotonic()))
            except GuardUnresponsiveError:
                raise WaitTimeoutError(f"the job has not ended within {timeout} s") from None
            if tell is None:
                self._record = self._lost()
            else:
                self._note(tell)
        return self._record

    async def wait_async(self) -> ExitRecord:
        """Wait without blocking the running event loop; see :meth:`wait`."""
        import asyncio  # noqa: PLC0415 - 60 ms that only its users should pay

        loop = asyncio.get_running_loop()
        while self._record is None:
            readable = asyncio.Event()
            loop.add_reader(self._channel, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(self._channel)
            tell = self._receive()
            if tell is None:
                self._record = self._lost()
            else:
                self._note(tell)
        return self._record

    def __await__(self) -> Any:
        return self.wait_async().__await__()

    def _with_notes(self, record: ExitRecord) -> ExitRecord:
        return replace(record, passed_on=tuple(sorted({*record.passed_on, *self._noted})))

    def _lost(self) -> ExitRecord:
        self._end_lost()
        self.phase = Phase.ENDED
        notes = ["the guard died before it told how the job ended"]
        if self._record_path is not None:
            try:
                found = records.read(self._record_path)
            except RecordError as error:
                notes.append(str(error))
            else:
                if found is not None and found.identity == self.identity:
                    # It is whole; that its name would outlive a power cut the guard may not have lived to see.
                    return replace(self._with_notes(found), not_durable=records.sync_name(self._record_path))
        tree_empty, swept = False, 0
        if self._process is not None:
            tree_empty, swept, note = self._sweep()
            notes.append(note)
        now = time.time()
        return ExitRecord(
            identity=self.identity,
            guard_pid=self.guard_pid,
            driver_pid=self.pid,
            driver=None,
            cause=Cause.GUARD_LOST,
            stop=self._stop,
            started_at=self._started_at,
            ended_at=now,
            duration=now - self._started_at,
            tree_usage=Usage(),
            tree_empty=tree_empty,
            swept_kill=swept,
            passed_on=tuple(sorted(self._passed_on | self._noted)),
            notes=tuple(notes),
        )

    def _finish_off(self, record: ExitRecord) -> ExitRecord:
        """The guard ended with somebody left, whom it could not see or not signal: maybe we can."""
        swept, clean = sweep(self.identity, spare=(self.guard_pid,))
        left = "none that can be seen to carry its mark is left" if clean else "some could not be ended"
        note = f"the guard left processes behind: {swept} were swept, {left}"
        return replace(record, swept_kill=record.swept_kill + swept, notes=(*record.notes, note))

    def _sweep(self) -> tuple[bool, int, str]:
        # The cgroup first: what is in it can't outrun its end, as it can a walk of /proc.
        ended = self._cgroup is not None and cgroup.end(*self._cgroup)
        swept, clean = sweep(self.identity)
        if ended and self._in_cgroup:
            return True, swept, f"its cgroup was killed and is empty ({swept} processes found by their mark)"
        left = "none that can be seen to carry its mark is left" if clean else "some could not be ended"
        return False, swept, f"tree not proven empty: {swept} processes were swept, {left}"

    def _hang_up(self) -> None:
        if self._channel < 0:
            return
        if self._record is None and not self.detached and os.getpid() == self._owner:
            # A child that we forked meanwhile may hold the channel open: closing ours would end nothing.
            import socket  # noqa: PLC0415 - a job that is dropped while it runs is rare

            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._channel)) as channel:
                channel.shutdown(socket.SHUT_RDWR)
        os.close(self._channel)
        self._channel = -1

    def _end_lost(self) -> None:
        """Reap a guard that has hung up on us, by force if need be: its driver dies with it."""
        self._hang_up()
        if self._process is not None:
            try:
                self._process.wait(self._patience)
            except WaitTimeoutError:
                self._process.kill()
                self._process.wait()

    def done(self) -> None:
        """Say that the end has been reported: the guard's delivery command is not needed."""
        if self._channel >= 0:
            self._ask(lib.RD_ASK_DONE)

    def close(self) -> None:
        """Let go: an attached guard ends its tree, if it still runs, and is reaped. Twice does no harm.

        Raises:
            StopPendingError: something of the tree survives SIGKILL; its guard stays with it until it ends.

        """
        if self._channel < 0:
            return
        if self._record is not None and not self.detached:
            with contextlib.suppress(GuardUnresponsiveError):
                self.done()
        self._hang_up()
        if self.detached or self._process is None or os.getpid() != self._owner:
            return
        self._process.send_signal(signals.SIGCONT)  # a stopped guard ends nothing
        try:
            self._process.wait(self._patience)
        except WaitTimeoutError:
            raise StopPendingError(
                f"the guard {self.guard_pid} can't end all that it holds; it stays until it has"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._channel < 0:
            return
        dropped = not self.detached and self._record is None and os.getpid() == self._owner
        self._hang_up()
        if dropped:
            warnings.warn(f"{self!r} was dropped, which ends its job", ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        return f"<Guard {self.guard_pid} of driver {self.pid}, {self.phase.name}>"
