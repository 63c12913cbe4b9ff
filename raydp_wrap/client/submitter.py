"""What a job has from whoever submits it, and the request that is made of what was said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from raydp_wrap import checks
from raydp_wrap.errors import UsageError
from raydp_wrap.request import Context, Dependency, Request, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    checks.truth("shell", shell)
    if isinstance(argv, str) != shell:
        raise UsageError(
            "a shell line is one string: give that with shell=True."
            if shell
            else f"the command {argv!r} is one string: give a list of its name and arguments, or shell=True."
        )
    words = (argv,) if isinstance(argv, str) else tuple(_path("a word of the command", one) for one in _many(argv))
    options["cwd"] = _directory(options.get("cwd"))
    retry = options.get("retry", RetryPolicy())
    options["retry"] = RetryPolicy(retry) if isinstance(retry, int) else retry
    options["after"] = tuple(map(_dependency, _many(options.get("after", ()))))
    options["sinks"] = _many(options.get("sinks", ()))
    made = Request(words, shell=shell, **options)
    made.check()
    return made


def _many(given: Any) -> tuple[Any, ...]:
    """GIVEN as a tuple; what is one text, or can't be gone through, is one."""
    if isinstance(given, str | bytes):
        return (given,)
    try:
        each = iter(given)
    except TypeError:
        return (given,)
    return tuple(each)


def _path(what: str, given: Any) -> str:
    path: str = os.fspath(given) if isinstance(given, os.PathLike) else given
    checks.text(what, path)
    return path


def _directory(given: Any) -> str:
    path = "." if given is None else _path("the directory", given)
    checks.passable("a directory", path)
    try:
        return os.path.abspath(path)
    except FileNotFoundError as error:
        raise UsageError("the current directory was removed: change to another one, or name one.") from error


def _dependency(given: Any) -> Dependency:
    if isinstance(given, Dependency):
        return given
    return Dependency(given if isinstance(given, str) else getattr(given, "id", given))
