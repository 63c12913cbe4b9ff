"""The one façade over a home's jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.client.access import Access
from raydp_wrap.client.job import Job
from raydp_wrap.client.submitter import request
from raydp_wrap.client.submitting import submit
from raydp_wrap.errors import UsageError
from raydp_wrap.request import Phase

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence

    from typing_extensions import Self, Unpack

    from raydp_wrap.client.access import Watching
    from raydp_wrap.client.listening import Listening
    from raydp_wrap.client.options import Options
    from raydp_wrap.job import Capacity, Change
    from raydp_wrap.job import Job as Status
    from raydp_wrap.model import Submission, TerminalState
    from raydp_wrap.request import Request
    from raydp_wrap.supervisor.embedded import Embedded

__all__ = ["Client"]

_SHOWN = 5


def _warn(text: str) -> None:
    import logging  # noqa: PLC0415 - only where there is something to tell

    logging.getLogger("raydp_wrap").warning("%s", text)


class Client:
    """The jobs in HOME (None: ``$RAYDP_WRAP_HOME``, else the user's own). For any number of threads.

    A supervisor is started in the background whenever one is needed, and goes when it is not. EMBEDDED: it runs
    in this process, in a thread, unless there is one already; when the client is closed a background one takes over
    what is left. TELL is given what a person should know, a sentence at a time; else it is logged as a warning.

    >>> with Client() as client:
    ...     first = client.submit(["echo", "one"], tags={"team": "blue"})
    ...     second = client.submit("echo two && exit 1", shell=True, after=[first])
    ...     [job.wait().state.value for job in (first, second)]
    ['FINISHED', 'FAILED']

    Raises:
        UsageError: there is nowhere to keep state.

    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        embedded: bool = False,
        tell: Callable[[str], None] = _warn,
    ) -> None:
        self._access = Access(_place(home), tell)
        self._listening: list[Listening] = []
        self._unreadable: set[str] = set()
        self._embedded: Embedded | None = None
        if embedded:
            from raydp_wrap.supervisor.embedded import Embedded  # noqa: PLC0415 - only who asks for it

            self._embedded = Embedded(self.home, tell)

    @property
    def home(self) -> Path:
        """Where everything is kept."""
        return self._access.home

    # -- asking for it ------------------------------------------------------------------------

    def submit(
        self,
        argv: Sequence[str | os.PathLike[str]] | str,
        *,
        shell: bool = False,
        submission_id: str | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Have ARGV run, an argument list, or with SHELL one shell line. When this returns it is stored durably.

        It gets this process's environment (and over it ``env``), directory, umask and limit of open files. OPTIONS are
        the fields of :class:`raydp_wrap.request.Request`; ``retry`` may be a number of retries, ``after`` a job or an
        id, or several. With a SUBMISSION_ID this can be said again: the same request finds the same job.

        >>> again = [Client().submit(["true"], submission_id="nightly-1") for _ in range(2)]
        >>> again[0] == again[1]
        True

        Raises:
            UsageError: it makes no sense, or can never run; the sentence says why. Nothing was stored.
            SupervisorError, StoreError: it can't be run, or be kept. Nothing was stored.

        """
        if submission_id == "":
            raise UsageError("an id of one's own can't be empty: give one, or leave it out.")
        return submit(self._access, request(argv, shell=shell, **options), submission_id)

    def job(self, word: str) -> Job:
        """The job of that id, else the one whose id begins so, else of that name; ``@last`` is the one submitted last.

        Of several of a name it is the newest that is undecided, else the newest. ``@last-1`` is the one before that.

        >>> client = Client()
        >>> client.submit(["true"], name="nightly") == client.job("nightly") == client.job("@last")
        True

        Raises:
            UsageError: there is none, or more than one id begins so.

        """
        found = self._access.jobs.find(word, limit=_SHOWN + 1)
        if not found:
            raise UsageError(f"there is no job {word[:100]!r}: see 'raydp-wrap jobs list'.")
        if len(found) > 1:
            found = self._named(word) or found
        if len(found) > 1:
            ids = ", ".join(one.submission_id for one in found[:_SHOWN])
            raise UsageError(f"{word!r} may be {ids}{', …' if len(found) > _SHOWN else ''}: write more of it.")
        return Job(self._access, found[0].submission_id, found[0].submission.name)

    def _named(self, name: str) -> list[Status]:
        """The one that is meant by its name; none where there is none of it."""
        jobs = self._access.jobs
        undecided = [phase for phase in Phase if not phase.terminal]
        return jobs.listed(phases=undecided, name=name, limit=1) or jobs.listed(name=name, limit=1)

    def jobs(
        self,
        *,
        phases: Iterable[Phase] = (),
        tags: Mapping[str, str | None] | None = None,
        name: str | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """Those in one of PHASES (none: any) with all TAGS (value None: any value), newest first, at most LIMIT.

        >>> client = Client()
        >>> job = client.submit(["true"], tags={"team": "green"})
        >>> client.jobs(tags={"team": "green"}) == [job]
        True
        """
        found = self.statuses(phases=phases, tags=tags, name=name, limit=limit)
        return [Job(self._access, one.submission_id, one.submission.name) for one in found]

    def statuses(
        self,
        *,
        phases: Iterable[Phase] = (),
        tags: Mapping[str, str | None] | None = None,
        name: str | None = None,
        limit: int | None = None,
        changed_since: int = 0,
    ) -> list[Status]:
        """How those that :meth:`jobs` finds stand now, in one look; those whose ``seq`` is greater than CHANGED_SINCE.

        One that this version can't read is left out, and that is told, once.

        >>> client = Client()
        >>> job = client.submit(["true"], tags={"team": "red"})
        >>> client.statuses(tags={"team": "red"})[0].submission_id == job.id
        True
        """
        return self._access.jobs.listed(
            phases=phases,
            tags=(tags or {}).items(),
            name=name,
            limit=limit,
            since_seq=changed_since,
            left_out=self._tell_unreadable,
        )

    def _tell_unreadable(self, submission_id: str, why: str) -> None:
        if submission_id not in self._unreadable:
            self._unreadable.add(submission_id)
            self._access.tell(why)

    def foreground(self, limit: int | None = None) -> list[tuple[Submission, TerminalState]]:
        """The runs that nobody but their own process supervises, newest first; UNKNOWN is not decided yet."""
        return self._access.jobs.foreground(limit)

    def repeat(self, request: Request) -> Job:
        """Submit REQUEST, another job's or one made of it, as a new job. Raises as :meth:`submit`."""
        request.check()
        return submit(self._access, request)

    def watching(self, *jobs: Job) -> Watching:
        """Who is told when one of JOBS changes (none given: any); close it. Raises SupervisorError."""
        from raydp_wrap.supervisor.bell import ALL  # noqa: PLC0415 - only who waits

        return self._access.watching(*([job.id for job in jobs] or [ALL]))

    def last_change(self) -> int:
        """The number of the last change there was; 0 none."""
        return self._access.jobs.last_seq()

    def changes_until_now(self, since: int = 0) -> Iterator[Change]:
        """Yield the changes after number SINCE that there have been, oldest first."""
        while found := self._access.jobs.changes(since):
            yield from found
            since = found[-1].seq

    def delete(self, job: Job | str, *, force: bool = False) -> None:
        """Forget a job that has ended, with its output; FORCE: also where a sink has still to be told of it.

        Raises:
            UsageError: it has not ended, a report waits, or another job waits for it.

        """
        from raydp_wrap.client.deleting import delete  # noqa: PLC0415 - rare

        delete(self._access, (job if isinstance(job, Job) else self.job(job)).id, force=force)

    def limits(self) -> Capacity:
        """How many attempts may run at once, and how much of each resource there is, as far as it was set."""
        return self._access.jobs.capacity()

    def set_limits(self, capacity: Capacity) -> None:
        """Set :meth:`limits`. What runs goes on.

        Raises:
            UsageError: they make no sense.
            SupervisorError: nobody is there to keep them. Nothing was set then, either.

        """
        capacity.check()
        with self._access.changing():
            self._access.jobs.set_capacity(capacity)

    # -- what happens -------------------------------------------------------------------------

    def changes(self, since: int | None = None) -> Iterator[Change]:
        """Yield each change of a job, in order, as it comes, for ever: those after number SINCE, else from now on.

        Raises:
            SupervisorError, StoreError: nothing more can be heard.

        """
        from raydp_wrap.client.listening import changes  # noqa: PLC0415 - only who listens

        return changes(self._access, self._since(since), None)

    def events(self, since: int | None = None) -> AsyncIterator[Change]:
        """Yield what :meth:`changes` does, in an event loop, which goes on meanwhile."""
        return self._events(self._since(since))

    async def _events(self, since: int) -> AsyncIterator[Change]:
        from raydp_wrap.supervisor.bell import ALL  # noqa: PLC0415 - only who listens

        async with self._access.gathering().waiter(ALL) as waiter:
            while True:
                while found := self._access.jobs.changes(since):
                    for change in found:
                        since = change.seq
                        yield change
                await waiter.changed()

    def on(self, callback: Callable[[Change], object], since: int | None = None) -> Listening:
        """Have CALLBACK called for each change, in order, in a thread of its own, until what is returned is closed.

        An exception of CALLBACK's is told, and the next change follows. Raises StoreError.
        """
        from raydp_wrap.client.listening import Listening  # noqa: PLC0415 - only who listens

        listening = Listening(self._access, callback, self._since(since))
        self._listening.append(listening)
        return listening

    def _since(self, since: int | None) -> int:
        return self._access.jobs.last_seq() if since is None else since

    # -- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go. All jobs go on. The client may be used again, except for an embedded supervisor."""
        while self._listening:
            self._listening.pop().close()
        embedded, self._embedded = self._embedded, None
        if embedded is not None:
            embedded.close()
        self._access.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _place(home: str | os.PathLike[str] | None) -> Path:
    if home is None:
        from raydp_wrap.home import home as default  # noqa: PLC0415 - who names one needs no search

        return default()
    from raydp_wrap.process.private import private_directory  # noqa: PLC0415 - as above

    try:
        return private_directory(home)
    except OSError as error:
        raise UsageError(
            f"{Path(home)} can't be used ({error.strerror}): name a directory you can write to."
        ) from error
