"""``jsonl:PATH``: one line of JSON for each outcome."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from raydp_wrap.backend import Answer, Sink, Verdict
from raydp_wrap.errors import UsageError
from raydp_wrap.outcome import to_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap.model import Report


class Jsonl(Sink):
    """Appends the outcome, and the report's key, to a file.

    The same report can come several times, also from other processes at the same time: a line with its key is
    written once. Each sink runs in a process of its own, which may be ended at any moment.
    """

    def __init__(self, path: str) -> None:
        if not path:
            raise UsageError("the sink jsonl: needs a file: write jsonl:PATH, as in jsonl:/tmp/outcomes.jsonl.")
        self._path = os.path.abspath(path)

    @property
    def text(self) -> str:
        """What is kept of this sink: a later process may run in another directory."""
        return self._path

    def check(self) -> None:
        """Refuse what can't work before anything is started."""
        directory = os.path.dirname(self._path)
        if os.path.isdir(self._path) or not os.access(directory, os.W_OK | os.X_OK):
            raise UsageError(f"{self._path} can't be written: name a file in a directory of yours.")

    def deliver(self, report: Report) -> Answer:
        """Append it, unless it is there."""
        line = json.dumps({"key": report.key, **to_dict(report.outcome)}) + "\n"
        try:
            with open(self._path, "ab+", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # look and append as one step, among processes
                if any(found["key"] == report.key for found in lines(self._path)):
                    return Answer(Verdict.DUPLICATE)
                size = os.fstat(file.fileno()).st_size
                if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                    line = "\n" + line  # whoever wrote last was ended in the middle of it
                data = line.encode()
                if file.write(data) != len(data):
                    return Answer(Verdict.RETRY_AFTER, "only a part could be written")
                os.fsync(file.fileno())
        except OSError as error:
            # Not here, not now: it is tried again later. What is raised is as well, with less to read.
            return Answer(Verdict.RETRY_AFTER, f"{self._path}: {error.strerror}")
        return Answer(Verdict.ACCEPTED)


def lines(path: str) -> Iterator[dict[str, Any]]:
    """What the file at PATH holds, without a line that was never finished."""
    with open(path, "rb") as file:
        for line in file:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and {"key", "state"} <= found.keys():
                yield found
