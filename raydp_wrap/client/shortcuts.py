"""The two calls that most programs need."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from typing_extensions import Unpack

    from raydp_wrap.client.client import Client
    from raydp_wrap.client.job import Job
    from raydp_wrap.client.options import Options, RunOptions
    from raydp_wrap.model import Outcome

__all__ = ["run", "submit"]

_clients: dict[str, Client] = {}


def submit(
    argv: Sequence[str | os.PathLike[str]] | str,
    *,
    shell: bool = False,
    submission_id: str | None = None,
    **options: Unpack[Options],
) -> Job:
    """Have ARGV run in the background, whatever becomes of this process; see :meth:`Client.submit`.

    >>> job = submit(["sh", "-c", "exit $CODE"], env={"CODE": "7"}, retry=2, tags={"team": "blue"}, suspend=True)
    >>> job.phase.value
    'SUSPENDED'
    >>> job.stop()
    True
    """
    from raydp_wrap.client.client import Client  # noqa: PLC0415 - not for who only runs
    from raydp_wrap.home import home  # noqa: PLC0415 - the same

    place = str(home())
    if place not in _clients:
        _clients[place] = Client(place)
    return _clients[place].submit(argv, shell=shell, submission_id=submission_id, **options)


def run(
    argv: Sequence[str | os.PathLike[str]] | str,
    *,
    shell: bool = False,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    sinks: Iterable[str] = (),
    **policy: Unpack[RunOptions],
) -> Outcome:
    """Run ARGV in the foreground, with this process's streams, and tell its sinks how it ended; from the main thread.

    ENV is set over this process's environment. POLICY are fields of :class:`raydp_wrap.foreground.Policy`. Should this
    process die, the command's whole tree is ended, and its sinks are told all the same.

    >>> run(["sh", "-c", "exit 3"], name="three").exit_code
    3

    Raises:
        UsageError, StoreError: nothing was started; the sentence says why.

    """
    from raydp_wrap.client.submitter import request  # noqa: PLC0415 - as everything here
    from raydp_wrap.foreground import Policy  # noqa: PLC0415
    from raydp_wrap.foreground import run as in_foreground  # noqa: PLC0415
    from raydp_wrap.model import Launch  # noqa: PLC0415

    words = request(argv, shell=shell, env=env or {}).argv
    launch = Launch(
        ("/bin/sh", "-c", *words) if shell else words,
        env={**os.environ, **env} if env else None,
        cwd=None if cwd is None else os.fspath(cwd),
        name=policy.get("name", ""),
    )
    return in_foreground(launch, Policy(sinks=tuple(sinks), **policy))
