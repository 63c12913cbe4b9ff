"""``python -m benchmarks.store``: what a durable decision costs, and what it costs in other journal modes."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from raydp_wrap.model import Outcome, Submission, TerminalState, Usage
from raydp_wrap.store import Claimer, DeliveryStatus, Settlement, Store
from raydp_wrap.store.database import _KEEP_LOG, _Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MODES = (
    ("wal", "NORMAL"),
    ("wal", "FULL"),
    ("delete", "FULL"),
    ("delete", "EXTRA"),
    ("truncate", "FULL"),
    ("persist", "FULL"),
)
PROCESSES = 8
_DOCUMENT = "x" * 600  # about as long as an outcome


def _outcome(submission_id: str) -> Outcome:
    state = TerminalState.FINISHED
    return Outcome(submission_id, "bench", 1, state, 0, None, None, "", (), 1.0, 2.0, Usage(), None, {})


def _submission(submission_id: str) -> Submission:
    return Submission(submission_id, "bench", 1.0, ("webhook:https://example.org/outcomes",), {}, None)


def _connect(path: Path, journal: str, synchronous: str, *, ours: bool = False) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    if ours:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.set_busy_handler(_Patience(30))
    if journal != "wal":  # which is written in the file
        connection.pragma("journal_mode", journal)
    connection.pragma("synchronous", synchronous)
    return connection


def _make(path: Path, journal: str) -> None:
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", journal)
    connection.execute("CREATE TABLE decisions (id TEXT PRIMARY KEY, document TEXT)")
    connection.execute("CREATE TABLE outbox (id TEXT PRIMARY KEY, document TEXT) WITHOUT ROWID")
    connection.close()


def _commit(connection: apsw.Connection, number: int, who: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO decisions VALUES (?, ?)", (f"{who}-{number}", _DOCUMENT))
    connection.execute("INSERT INTO outbox VALUES (?, ?)", (f"{who}-{number}", "pending"))
    connection.execute("COMMIT")


@contextlib.contextmanager
def _raw(plan: dict[str, Any]) -> Iterator[Callable[[int], object]]:
    connection = _connect(Path(plan["path"]), plan["journal"], plan["synchronous"], ours=True)
    yield lambda number: _commit(connection, number, os.getpid())
    connection.close()


@contextlib.contextmanager
def _finishing(plan: dict[str, Any]) -> Iterator[Callable[[int], object]]:
    with Store(plan["path"], timeout=60) as store:
        for number in range(plan["count"]):
            store.submit(_submission(f"{os.getpid()}-{number}"))
        claimer = Claimer.of_this_process()
        yield lambda number: store.finish(_outcome(f"{os.getpid()}-{number}"), claimer=claimer)


@contextlib.contextmanager
def _living(plan: dict[str, Any]) -> Iterator[Callable[[int], object]]:
    with Store(plan["path"], timeout=60) as store:
        claimer = Claimer.of_this_process()

        def live(number: int) -> None:
            name = f"{os.getpid()}-{number}"
            store.submit(_submission(name))
            for delivery in store.finish(_outcome(name), claimer=claimer):
                store.settle(delivery, DeliveryStatus.DELIVERED)

        yield live


@contextlib.contextmanager
def _delivering(plan: dict[str, Any]) -> Iterator[Callable[[int], object]]:
    """One claim and one settlement for each report."""
    with Store(plan["path"], timeout=60) as store:
        for number in range(plan["count"]):
            name = f"{os.getpid()}-{number}"
            store.submit(_submission(name))
            store.finish(_outcome(name))
        claimer = Claimer.of_this_process()

        def deliver(_: int) -> None:
            for delivery in store.claim(claimer, limit=1):
                store.settle(delivery, DeliveryStatus.DELIVERED)

        yield deliver


@contextlib.contextmanager
def _delivering_many(plan: dict[str, Any]) -> Iterator[Callable[[int], object]]:
    """A hundred reports with one claim and one settlement."""
    with _delivering({**plan, "count": 100 * plan["count"]}), Store(plan["path"], timeout=60) as store:
        claimer = Claimer.of_this_process()

        def deliver(_: int) -> None:
            store.settle_all([Settlement(one, DeliveryStatus.DELIVERED) for one in store.claim(claimer, limit=100)])

        yield deliver


_WORK = {
    "raw": _raw,
    "finish": _finishing,
    "live": _living,
    "deliver": _delivering,
    "deliver-many": _delivering_many,
}


def _worker(plan: dict[str, Any]) -> None:
    """Get ready, say so, and at a line on stdin do it COUNT times; the times of all, in seconds."""
    with _WORK[plan["work"]](plan) as do:
        print("ready", flush=True)
        sys.stdin.readline()
        times = []
        begun = time.perf_counter()
        for number in range(plan["count"]):
            before = time.perf_counter()
            do(number)
            times.append(time.perf_counter() - before)
        ended = time.perf_counter()
    print(json.dumps({"begun": begun, "ended": ended, "worst": max(times), "median": statistics.median(times)}))


def _together(plan: dict[str, Any], processes: int) -> tuple[float, float, float]:
    """(times a second of all together, one's median, the worst), the times in milliseconds."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.store", "--worker", json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout
        if worker.stdout.readline() != "ready\n":
            raise SystemExit(f"a worker failed: {plan}")
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    told = [json.loads(worker.communicate()[0]) for worker in workers]
    seconds = max(one["ended"] for one in told) - min(one["begun"] for one in told)
    median = statistics.median(one["median"] for one in told)
    return processes * plan["count"] / seconds, 1e3 * median, 1e3 * max(one["worst"] for one in told)


def _opens(samples: int, once: Callable[[int], object]) -> float:
    """Milliseconds of one go, the median; the first ones warm up."""
    times = []
    for number in range(samples + 3):
        before = time.perf_counter()
        once(number)
        times.append(time.perf_counter() - before)
    return 1e3 * statistics.median(times[3:])


def _print(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[i]) for line in (head, *rows)) for i in range(len(head))]
    for line in (head, ["-" * width for width in widths], *rows):
        cells = [
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("| " + " | ".join(cells) + " |")


def _journal_modes(folder: Path, samples: int) -> None:
    rows = []
    for journal, synchronous in MODES:
        path = folder / f"{journal}-{synchronous}"
        _make(path, journal)

        def once(number: int, path: Path = path, mode: tuple[str, str] = (journal, synchronous)) -> None:
            connection = _connect(path, *mode)
            _commit(connection, number, 0)
            connection.close()

        cells = [f"{_opens(samples, once):.2f} ms"]
        for processes in (1, PROCESSES):
            plan = {"work": "raw", "path": str(path), "journal": journal, "synchronous": synchronous, "count": samples}
            rate, median, worst = _together(plan, processes)
            cells += [f"{rate:,.0f}", f"{median:.2f} ms", f"{worst:.0f} ms"]
        rows.append([f"{journal}, synchronous={synchronous}", *cells])
    print("\nSQLite's journal modes: a decision of two rows\n")
    eight = f"{PROCESSES} processes"
    head = ["mode", "open, commit, close", "1 process, /s", "median", "worst", f"{eight}, /s", "median", "worst"]
    _print(head, rows)


def _store(folder: Path, samples: int) -> None:
    def fresh(name: str) -> Path:
        path = folder / name
        path.mkdir(0o700)
        Store(path).close()
        return path

    rows = []
    titles = {
        "finish": "terminal commits (finish, one sink)",
        "live": "submit + finish + settle",
        "deliver": "claim + settle, one report",
        "deliver-many": "claim + settle_all, 100 reports",
    }
    for work, title in titles.items():
        count = max(1, samples // 20) if work == "deliver-many" else samples
        for processes in (1, PROCESSES):
            plan = {"work": work, "path": str(fresh(f"{work}-{processes}")), "count": count}
            rate, median, worst = _together(plan, processes)
            rows.append([title, str(processes), f"{rate:,.0f}", f"{median:.2f} ms", f"{worst:.0f} ms"])
    print("\nThe store\n")
    _print(["what", "processes", "/s", "median", "worst"], rows)
    home, empty = fresh("open"), fresh("empty")
    opening = _opens(samples, lambda _: Store(empty).close())

    def submit(number: int) -> None:
        with Store(home) as store:
            store.submit(_submission(f"a-{number}"))

    def run(number: int) -> None:
        with Store(home) as store:
            store.submit(_submission(f"b-{number}"))
            for delivery in store.finish(_outcome(f"b-{number}"), claimer=Claimer.of_this_process()):
                store.settle(delivery, DeliveryStatus.DELIVERED)

    closings = []
    for keep in (0, _KEEP_LOG):
        path = folder / f"keep-{keep}"
        _make(path, "wal")

        def close(number: int, path: Path = path, keep: int = keep) -> None:
            connection = _connect(path, "wal", "FULL", ours=True)
            _commit(connection, number, 0)
            if os.stat(f"{path}-wal").st_size > keep:
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
            connection.close()

        closings.append(f"{_opens(samples, close):.2f} ms")
    making = _opens(max(5, samples // 10), lambda number: fresh(f"new-{number}"))
    print("\nA process's share, without its imports\n")
    _print(
        ["what", "median"],
        [
            ["open + close", f"{opening:.2f} ms"],
            ["open + submit + close", f"{_opens(samples, submit):.2f} ms"],
            ["open + submit + finish + settle + close", f"{_opens(samples, run):.2f} ms"],
            ["make a new store", f"{making:.2f} ms"],
            ["SQLite: open, commit, close with a checkpoint", closings[0]],
            ["SQLite: the same, with one in so many as the store has", closings[1]],
        ],
    )


def _fsync(folder: Path, samples: int) -> float:
    fd = os.open(folder / "fsync", os.O_RDWR | os.O_CREAT, 0o600)
    try:

        def once(number: int) -> None:
            os.pwrite(fd, bytes(4096), 4096 * (number % 8))
            os.fdatasync(fd)

        return _opens(samples, once)
    finally:
        os.close(fd)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples: < 20 s")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="a directory on the disk to measure (here)")
    parser.add_argument("--worker", metavar="PLAN", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker:
        _worker(json.loads(options.worker))
        return
    samples = 50 if options.quick else 500
    with tempfile.TemporaryDirectory(prefix=".bench-store-", dir=options.dir or Path.cwd()) as name:
        folder = Path(name)
        print(f"SQLite {apsw.sqlite_lib_version()}, {os.cpu_count()} processors, {samples} samples each")
        print(f"write 4 KiB + fdatasync: {_fsync(folder, samples):.2f} ms")
        _store(folder, samples)
        _journal_modes(folder, samples)


if __name__ == "__main__":
    main()
