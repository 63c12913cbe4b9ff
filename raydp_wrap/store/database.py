"""One SQLite file: opened, brought up to date, read and written in durable transactions; its errors in our words."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import StoreError, StoreGoneError
from raydp_wrap.store import failures, forks, place
from raydp_wrap.store.migrations import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw

__all__ = ["Database", "is_safe", "sqlite_version"]

_APPLICATION_ID = 0x52445052  # "RDPR"
_KEEP_LOG = 256 * 1024  # bytes; a longer log makes the next open slow, for it is read through
_CHUNK = 1024 * 1024
_LONG_LOG = 4 * 1024 * 1024


def is_safe(version: str) -> bool:
    """Whether this SQLite is free of the race in which a write-ahead log is reset and loses a commit."""
    numbers = tuple(int(part) for part in version.split(".")[:3])
    return numbers >= (3, 51, 3) or (3, 50, 7) <= numbers < (3, 51) or (3, 44, 6) <= numbers < (3, 45)


class Database:
    """The store's file in HOME, for many threads. Made and closed by :class:`raydp_wrap.store.Store`.

    There is a connection for everything, and a second one for readers that come while that one is busy.

    Raises:
        StoreError: it can't be used; the sentence says what to do.

    """

    def __init__(self, home: str | os.PathLike[str], *, timeout: float) -> None:
        self.directory = os.path.realpath(home)
        self.path = os.path.join(self.directory, place.NAME)
        self.timeout = timeout
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._readers_lock = threading.Lock()
        self._reader: apsw.Connection | None = None
        self._closed = False
        self._seen_durable = False
        with self._translated(None), forks.opening:
            _refuse_unsafe()
            file = place.check_files(self.directory)
            if file is None:
                place.make(self.directory, self._build, timeout)
                file = place.check_files(self.directory)
            if file is None:
                raise StoreError(f"the store {self.path} vanished while it was made: see who removes it.")
            if forks.inherited(file):
                raise StoreError(
                    f"this process was forked from one that uses the store {self.path}, and can't open it: "
                    "execute a new program for that."
                )
            self.file = file
            self._writer: apsw.Connection | None = self._connect()
            forks.opened(self)

    def _connect(self) -> apsw.Connection:
        connection = self._open(self.path)
        try:
            with self._translated(connection):
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open(self, path: str) -> apsw.Connection:
        import apsw  # noqa: PLC0415 - 4 ms that only a store's user pays

        # Symbolic links were resolved before: whoever puts one into the path now is refused.
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)
        # Nothing of a store that we can't use is changed, not even by closing it.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_handler(_Patience(self.timeout))
        return connection

    def _prepare(self, connection: apsw.Connection) -> None:
        """Look at what it is before anything of it is touched."""
        new_log = not _size(self.path + "-wal")
        if not os.stat(self.path).st_size:
            raise failures.damaged(self.path, "it is empty")
        if connection.pragma("application_id") != _APPLICATION_ID:
            raise failures.damaged(self.path, "it is another program's database")
        self._check_version(connection)
        _set_up(connection)
        if connection.pragma("user_version") < len(MIGRATIONS):
            with _transaction(connection):
                self._migrate(connection)
        if new_log:
            # SQLite syncs the directory, too, and takes no notice when that fails.
            place.sync_directory(self.directory)
        if _size(self.path + "-wal") > _LONG_LOG:
            import apsw  # noqa: PLC0415 - as in _open

            # Those who were killed before they could close have left it: let the next commit start from its head.
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _build(self, path: str) -> None:
        """Fill the empty file PATH; it is durable, and in one piece, when this returns."""
        import apsw  # noqa: PLC0415 - as in _open

        connection = self._open(path)
        try:
            with self._translated(connection):
                _set_up(connection)
                with _transaction(connection):
                    connection.pragma("application_id", _APPLICATION_ID)
                    self._migrate(connection)
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            connection.close()

    def _migrate(self, connection: apsw.Connection) -> None:
        """Take the steps that are missing. In a transaction, so that they are all taken, and by one process."""
        self._check_version(connection)
        for script in MIGRATIONS[connection.pragma("user_version") :]:
            connection.execute(script)
        connection.pragma("user_version", len(MIGRATIONS))

    def _check_version(self, connection: apsw.Connection) -> None:
        """A newer process may have taken further steps at any moment."""
        if connection.pragma("user_version") > len(MIGRATIONS):
            raise failures.newer(self.path)

    @contextlib.contextmanager
    def _translated(self, connection: apsw.Connection | None) -> Iterator[None]:
        """In here, whatever SQLite and the kernel raise becomes a StoreError."""
        import apsw  # noqa: PLC0415 - as in _open

        try:
            yield
        except apsw.Error as error:
            number = 0
            if connection is not None:
                with contextlib.suppress(apsw.Error):
                    number = connection.system_errno
                if isinstance(error, apsw.CorruptError) and not _readable(connection):
                    number = errno.EIO
            elif isinstance(error, apsw.CantOpenError):
                number = _obstacle(self.path)
            raise failures.from_sqlite(self.path, error, number, self.timeout) from error
        except OSError as error:
            raise failures.from_kernel(self.path, error) from error

    def _check(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError(f"the store {self.path} was opened before a fork: only the parent can use it.")
        if self._closed:
            raise StoreError(f"the store {self.path} is closed: open it again.")

    @contextlib.contextmanager
    def write(self) -> Iterator[apsw.Connection]:
        """A transaction: durable when the block has been left, and undone when anything was raised in it.

        Raises:
            StoreError: it could not be begun, or not be made durable.

        """
        self._check()
        with self._lock:
            self._check()
            connection = self._writer
            assert connection is not None  # noqa: S101 - closed stores were refused
            with self._translated(connection):
                self._check_place()
                before = connection.total_changes()
                with self._or_close(connection), _transaction(connection):
                    self._check_version(connection)
                    yield connection
                # One that has changed nothing syncs nothing, either.
                self._seen_durable |= connection.total_changes() != before

    def await_writer(self) -> None:
        """Return when whoever writes just now, in this process or another, has committed, or given that up.

        Raises:
            StoreError: that takes too long, or can't be told.

        """
        self._check()
        with self._lock:
            self._check()
            connection = self._writer
            assert connection is not None  # noqa: S101 - closed stores were refused
            with self._translated(connection), self._or_close(connection):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """A connection for one statement, which sees what is committed, and waits for no writer.

        Raises:
            StoreError: it can't be read.

        """
        self._check()
        lock, own = self._lock, self._lock.acquire(blocking=False)
        if not own:
            lock = self._readers_lock
            lock.acquire()
        try:
            self._check()
            if not own and self._reader is None:
                with forks.opening:
                    self._reader = self._connect()
            connection = self._writer if own else self._reader
            assert connection is not None  # noqa: S101 - closed stores were refused
            with self._translated(connection):
                self._check_place()
                yield connection
        finally:
            lock.release()

    def _check_place(self) -> None:
        """SQLite goes on with a file that has no name any more, and what it acknowledged would be gone."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            status = None
        if status is None or (status.st_dev, status.st_ino) != self.file:
            raise StoreGoneError(
                f"the store {self.path} was moved or replaced while in use: put it back, and open it again."
            )

    @contextlib.contextmanager
    def _or_close(self, connection: apsw.Connection) -> Iterator[None]:
        """A connection whose transaction can't be ended is of no use to anybody."""
        try:
            yield
        except BaseException:
            if connection.in_transaction:
                self._closed = True
            raise

    def make_durable(self) -> None:
        """What was read so far survives a power cut from here on.

        A commit is only seen after its fsync, with one exception: that of a process that was killed between the
        two, if the store was opened by nobody else since.

        Raises:
            StoreError: the disk failed.

        """
        if self._seen_durable:
            return
        with self._translated(None):
            try:
                fd = os.open(self.path + "-wal", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                return  # all of it is in the database, where fsync comes before the log's end
            try:
                os.fdatasync(fd)
            finally:
                os.close(fd)
        self._seen_durable = True

    def close(self) -> None:
        """Close the connections; the last one out of all processes tidies the log, if it has grown."""
        if os.getpid() != self._pid:
            return
        with self._lock, self._readers_lock:
            import apsw  # noqa: PLC0415 - as in _open

            self._closed = True
            forks.closed(self)
            writer, self._writer = self._writer, None
            reader, self._reader = self._reader, None
            with self._translated(writer):
                if reader is not None:
                    reader.close()
                if writer is not None:
                    if _size(self.path + "-wal") > _KEEP_LOG:
                        writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
                    writer.close()

    def abandon(self) -> list[Any]:
        """Called in a forked child, by :mod:`raydp_wrap.store.forks`."""
        connections = [connection for connection in (self._writer, self._reader) if connection is not None]
        self._writer = self._reader = None
        return connections


class _Patience:
    """A busy handler. SQLite's own sleeps up to 100 ms at a time, which makes eight writers half as fast."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._deadline = 0.0

    def __call__(self, tries: int) -> bool:
        now = time.monotonic()
        if tries == 0:
            self._deadline = now + self._timeout
        if now >= self._deadline:
            return False
        # 0.1 ms and up to eight times as much again as the wait grows, by a clock's last digits.
        spread = min(tries + 1, 8) * (time.perf_counter_ns() % 1000) * 1e-6
        time.sleep(min(1e-4 + spread, self._deadline - now))
        return True


def _obstacle(path: str) -> int:
    """The errno behind an open that failed, as far as it can be seen afterwards; 0 unknown."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno or 0
    return 0 if os.access(path, os.R_OK | os.W_OK, effective_ids=True) else errno.EACCES


def _readable(connection: apsw.Connection) -> bool:
    """Whether the disk gives out what is in the files. SQLite calls it damage when a read fails with EIO."""
    import apsw  # noqa: PLC0415 - as in Database._open

    try:
        for which in (0, 1):  # the database, and its log
            with contextlib.suppress(apsw.SQLError):  # there is none
                offset = 0
                # Through SQLite's own descriptors: closing another one would drop its locks.
                while connection.read("main", which, offset, _CHUNK)[0]:
                    offset += _CHUNK
    except apsw.IOError:
        return False
    return True


def sqlite_version() -> str:
    """Which SQLite this is: the one that apsw brings."""
    import apsw  # noqa: PLC0415 - as in Database._open

    return apsw.sqlite_lib_version()


def _refuse_unsafe() -> None:
    version = sqlite_version()
    if not is_safe(version):
        raise StoreError(
            f"the SQLite {version} that apsw brings can lose commits of processes that share a store: "
            "install apsw 3.51.3 or newer."
        )


def _set_up(connection: apsw.Connection) -> None:
    if connection.pragma("journal_mode") != "wal" and connection.pragma("journal_mode", "wal") != "wal":
        raise StoreError(
            "SQLite can't keep a write-ahead log here: set RAYDP_WRAP_HOME to a directory on a local disk."
        )
    connection.pragma("synchronous", "FULL")
    connection.pragma("journal_size_limit", _LONG_LOG)
    connection.pragma("trusted_schema", "OFF")


@contextlib.contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    if connection.in_transaction:  # an interruption came between a BEGIN and its block
        connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A failed COMMIT may have ended it, or not.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
