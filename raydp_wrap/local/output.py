"""The output of an attempt, as its driver writes it: read from its files, by anybody who has the directory."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import struct
from typing import TYPE_CHECKING, Final

from raydp_wrap.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

__all__ = ["STREAMS", "Chunk", "Output"]

STREAMS: Final = ("output", "errors")

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 65536
_ENTRY = struct.Struct("=qqq")  # ns since the epoch, and the size of each stream
_ENTRIES_AT_ONCE = 2048
_CLOCK_STEP_NS = 1000  # what is given in seconds, as a float, is exact to a quarter of that


class Chunk(bytes):
    """Some output; ``offset`` is where its first byte lies in its stream."""

    offset: int

    def __new__(cls, offset: int, data: bytes) -> Self:
        """DATA, which lies at OFFSET."""
        self = super().__new__(cls, data)
        self.offset = offset
        return self


class Output:
    """What the attempt in DIRECTORY has printed, while it runs and when it has ended.

    A stream is ``output`` (stdout, and stderr in it unless they were asked for apart) or ``errors`` (stderr). A
    byte's offset never changes. Where a size was to be kept the oldest bytes are dropped: a stream begins at
    :meth:`start`. Used in one thread at a time; :meth:`close` it, or use it in a ``with``.

    Raises:
        UsageError: there is no such directory.

    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._files: dict[str, int] = {}
        self._fd = -1
        try:
            self._fd = os.open(directory, _DIRECTORY)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(
                f"{os.fspath(directory)} holds no attempt: it has not been started, or was deleted."
            ) from error

    def streams(self) -> tuple[str, ...]:
        """The streams there are."""
        return tuple(name for name in STREAMS if self.descriptor(name) is not None)

    def start(self, stream: str = "output") -> int:
        """The offset of the first byte that is kept."""
        fd = self.descriptor(stream)
        return 0 if fd is None else _first_kept(fd)

    def size(self, stream: str = "output") -> int:
        """The offset behind the last byte."""
        fd = self.descriptor(stream)
        return 0 if fd is None else os.fstat(fd).st_size

    def read(self, offset: int, most: int = _CHUNK, stream: str = "output") -> Chunk:
        """Up to MOST bytes from OFFSET on, or from the first that is kept if that is later; at the present end none."""
        fd = self.descriptor(stream)
        while fd is not None:
            data = os.pread(fd, most, offset)
            # After the read: what was dropped before it, or during it, has been read as zeros.
            first = _first_kept(fd)
            if first <= offset:
                return Chunk(offset, data)
            if first < offset + len(data):
                return Chunk(first, data[first - offset :])
            offset = first
        return Chunk(offset, b"")

    def tail(self, lines: int, stream: str = "output") -> int:
        """The offset of the last LINES lines; a last one that has not ended yet counts."""
        fd = self.descriptor(stream)
        if fd is None:
            return 0
        first, end = _first_kept(fd), os.fstat(fd).st_size
        at = end if lines > 0 else first
        while at > first:
            begin = max(first, at - _CHUNK)
            block = os.pread(fd, at - begin, begin)
            stop = len(block) - (at == end)  # that byte may end the last line, and begins none
            found = block.count(b"\n", 0, stop)
            if found >= lines:
                for _ in range(lines):
                    stop = block.rfind(b"\n", 0, stop)
                return begin + stop + 1
            lines -= found
            at = begin
        return first if lines > 0 else end

    def since(self, at: float, stream: str = "output") -> int:
        """An offset that is not behind the first byte written after AT (seconds since the epoch).

        It may lie before it, by what was written in a second, or in 1/4096 of the time from the attempt's start to AT.
        """
        which = 1 + STREAMS.index(_known(stream))
        latest = int(at * 1e9) - _CLOCK_STEP_NS
        offset, passed = 0, False
        for entry in self._index():
            passed = passed or entry[0] > latest
            # A job may cut its output: what lies behind that was written later than it looks.
            offset = min(offset, entry[which]) if passed else entry[which]
        return max(min(offset, self.size(stream)), self.start(stream))

    @property
    def ended(self) -> bool:
        """Whether nothing is written any more: the exit record is there, or all has been deleted."""
        try:
            os.stat("record", dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return self._deleted()
        return True

    def follow(
        self,
        offset: int = 0,
        stream: str = "output",
        *,
        wake: int | None = None,
        ended: Callable[[], bool] | None = None,
    ) -> Iterator[Chunk]:
        """Yield what is there from OFFSET on, and what comes, until the attempt has ended and all was read.

        At most 64 KiB at a time, however far behind the reader is. A chunk that doesn't lie behind the one before it
        shows that something between them was dropped. ENDED tells of ends that leave no record (the guard was killed);
        it is asked again whenever WAKE is readable, and reads from it what there is.

        Raises:
            RaydpWrapError: it can't be followed, for the user has no inotify watch left.

        """
        from raydp_wrap.local import inotify  # noqa: PLC0415 - only who follows

        with contextlib.closing(inotify.Inotify()) as events:
            events.add(self._fd, inotify.CREATE | inotify.MOVED_TO | inotify.DELETE | inotify.DELETE_SELF)
            poll = select.poll()
            poll.register(events.fd, select.POLLIN)
            if wake is not None:
                poll.register(wake, select.POLLIN)
            watched = False
            while True:
                fd = self.descriptor(stream)
                if fd is not None and not watched:
                    events.add(fd, inotify.MODIFY | inotify.META)
                    watched = True
                # Before the read: what comes behind it is seen in the next round.
                last = self.ended or (ended is not None and ended())
                while chunk := self.read(offset, _CHUNK, stream):
                    offset = chunk.offset + len(chunk)
                    yield chunk
                if last:
                    return
                for readable, what in poll.poll():
                    if readable == events.fd:
                        events.read()
                    elif not what & select.POLLIN:  # who would have woken us is gone
                        poll.unregister(readable)

    def descriptor(self, stream: str = "output") -> int | None:
        """STREAM's file, open until :meth:`close`; None if there is none.

        Raises:
            UsageError: STREAM is no stream's name.

        """
        if _known(stream) not in self._files:
            try:
                self._files[stream] = os.open(stream, _READ, dir_fd=self._fd)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP):
                    return None
                raise
        return self._files[stream]

    def close(self) -> None:
        """Let go of it; twice does no harm."""
        opened, self._files = [*self._files.values(), self._fd], {}
        self._fd = -1
        for fd in opened:
            if fd >= 0:
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _deleted(self) -> bool:
        return any(not os.fstat(fd).st_nlink for fd in (self._fd, *self._files.values()))

    def _index(self) -> Iterator[tuple[int, int, int]]:
        try:
            fd = os.open("times", _READ, dir_fd=self._fd)
        except FileNotFoundError:
            return
        with open(fd, "rb") as file:
            while block := file.read(_ENTRIES_AT_ONCE * _ENTRY.size):
                whole = len(block) - len(block) % _ENTRY.size  # the last may be being written
                yield from _ENTRY.iter_unpack(block[:whole])


def _known(stream: str) -> str:
    if stream not in STREAMS:
        raise UsageError(f"{stream!r} is no stream of an attempt: it is {' or '.join(STREAMS)}.")
    return stream


def _first_kept(fd: int) -> int:
    size = os.fstat(fd).st_size  # first: without data up to here, though there may be some behind it by now
    try:
        return os.lseek(fd, 0, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size
        raise
