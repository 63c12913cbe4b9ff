"""The same code in another process: started anew, in another directory, with another environment."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from raydp_wrap.backend import Answer, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from raydp_wrap.model import Report

__all__ = ["command", "deliver", "importable", "imported"]

_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C", "HOME": "/nonexistent"}


def importable(maker: Callable[..., object]) -> str:
    """``module:name`` of MAKER, by which another process finds it.

    Raises:
        ValueError: it is no function or class at the top of a module.

    """
    module, name = getattr(maker, "__module__", ""), getattr(maker, "__qualname__", "")
    if not module or not name or "<" in name:
        raise ValueError(f"{maker!r} can't be imported by another process: use a class or function of a module.")
    return f"{module}:{name}"


def imported(name: str) -> Any:
    """What :func:`importable` made NAME of."""
    from importlib import import_module  # noqa: PLC0415 - only in the other process

    module, _, path = name.partition(":")
    found: Any = import_module(module)
    for attribute in path.split("."):
        found = getattr(found, attribute)
    return found


def command(function: str) -> list[str]:
    """What runs FUNCTION (``module:name``) in a new Python that finds every module this one does."""
    module, _, name = function.partition(":")
    code = f"import sys; sys.path[:] = {sys.path!r}; from {module} import {name}; {name}()"
    return [sys.executable, "-I", "-c", code]


def deliver(maker: Callable[[str], object], text: str, report: Report, timeout: float = 60.0) -> Answer:
    """What the sink that MAKER makes of TEXT answers to REPORT, in a new process in ``/``.

    Raises:
        AssertionError: the process failed; what it printed is in the message.

    """
    import subprocess  # noqa: PLC0415 - not in the process that is started

    from raydp_wrap.outcome import to_dict  # noqa: PLC0415 - the same

    request = {
        "maker": importable(maker),
        "text": text,
        "key": report.key,
        "sink": report.sink,
        "tries": report.tries,
        "outcome": to_dict(report.outcome),
    }
    done = subprocess.run(
        command(f"{__name__}:main"),
        input=json.dumps(request).encode(),
        capture_output=True,
        timeout=timeout,
        check=False,
        cwd="/",
        env=_ENV,
    )
    if done.returncode:
        raise AssertionError(f"the other process exited with {done.returncode}: {done.stderr.decode(errors='replace')}")
    verdict, said, seconds = json.loads(done.stdout.splitlines()[-1])
    return Answer(Verdict(verdict), said, seconds)


def main() -> None:
    """Deliver what stdin holds, and print the answer; the other process's side of :func:`deliver`."""
    from raydp_wrap.model import Report  # noqa: PLC0415 - only in the other process
    from raydp_wrap.outcome import from_dict  # noqa: PLC0415 - the same

    request = json.loads(sys.stdin.buffer.read())
    sink = imported(request["maker"])(request["text"])
    report = Report(request["key"], request["sink"], from_dict(request["outcome"]), request["tries"])
    answer = sink.deliver(report)
    print(json.dumps([answer.verdict.value, answer.text, answer.seconds]))  # noqa: T201 - read by the first process
