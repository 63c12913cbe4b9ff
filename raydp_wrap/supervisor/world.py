"""What a supervisor needs of everything around it: clocks, backends, plugins, sinks. A simulation brings its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raydp_wrap.backend import Backend
    from raydp_wrap.job import Job
    from raydp_wrap.model import Event, Launch
    from raydp_wrap.moment import Moment
    from raydp_wrap.request import Context

__all__ = ["World"]


class World(Protocol):
    """Everything but the store. Methods are called from the event loop's thread, and return at once unless async."""

    def open(self, changed: Callable[[], None]) -> None:
        """Begin. CHANGED is to be called when the store may have been changed by others."""

    async def close(self) -> None:
        """Let go. Called once, last."""

    @property
    def busy(self) -> bool:
        """Whether it has something under way that is to be seen to its end."""

    def now(self) -> Moment:
        """What the clocks show; its monotonic one is the event loop's."""

    def backend(self, name: str) -> Backend:
        """The backend of that name.

        Raises:
            RaydpWrapError: there is none, or it can't be used; the sentence says what to do.

        """

    async def launch(self, job: Job, context: Context) -> Launch:
        """What the job's attempt executes, as plugins want it.

        Raises:
            UsageError: nothing that can be executed.

        """

    def command(self, job: Job, context: Context, argv: Sequence[str]) -> Launch:
        """What ARGV executes in the job's directory and environment."""

    async def last_words(self, job: Job) -> str:
        """What a person should read of its attempt's output, where it is no success."""

    def bind(self, submission_id: str, app_id: str) -> None:
        """Note the cluster's name for it.

        Raises:
            StoreError, UsageError: that can't be done.

        """

    def event(self, event: Event) -> None:
        """Let the plugins know; nobody waits for them."""

    def deliver(self) -> None:
        """Reports may be due: have them sent; nobody waits for that."""

    async def discard(self, job: Job) -> None:
        """Remove what its attempts have left, their output too.

        Raises:
            RaydpWrapError, OSError: it can't be removed now.

        """

    def tell(self, text: str) -> None:
        """Tell the operator, in a sentence."""
