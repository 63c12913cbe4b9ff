"""What a job has from whoever submits it, and the request that is made of what was said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import UsageError
from raydp_wrap.request import Context, Dependency, Request, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from raydp_wrap.client.job import Job

__all__ = ["context", "request"]


def context() -> Context:
    """The environment of this process, its umask, and soft limit of open files."""
    import resource  # noqa: PLC0415 - only who submits

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Context(dict(os.environ), _umask(), None if soft == resource.RLIM_INFINITY else soft)


def _umask() -> int | None:
    """Without changing it, which another thread that makes a file would see; None where the kernel doesn't tell."""
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"Umask:"):
                    return int(line.split()[1], 8)
    except (OSError, ValueError, IndexError):
        pass
    return None


def request(argv: Sequence[str | os.PathLike[str]] | str, *, shell: bool, **options: Any) -> Request:
    """ARGV and OPTIONS (see :class:`raydp_wrap.client.options.Options`) as they are stored.

    Raises:
        UsageError: that makes no sense.
        TypeError: there is no such option.

    """
    if isinstance(argv, str) != shell:
        raise UsageError(
            "a shell line is one string: give that with shell=True."
            if shell
            else f"the command {argv!r} is one string: give a list of its name and arguments, or shell=True."
        )
    words = (argv,) if isinstance(argv, str) else tuple(os.fspath(word) for word in argv)
    options["cwd"] = os.path.abspath(options.get("cwd") or ".")
    retry = options.get("retry", RetryPolicy())
    options["retry"] = RetryPolicy(retry) if isinstance(retry, int) else retry
    options["after"] = _after(options.get("after", ()))
    options["sinks"] = tuple(options.get("sinks", ()))
    made = Request(words, shell=shell, **options)
    made.check()
    return made


def _after(these: Iterable[Job | Dependency | str]) -> tuple[Dependency, ...]:
    found = []
    for one in these:
        if isinstance(one, Dependency):
            found.append(one)
        else:
            found.append(Dependency(one if isinstance(one, str) else one.id))
    return tuple(found)
