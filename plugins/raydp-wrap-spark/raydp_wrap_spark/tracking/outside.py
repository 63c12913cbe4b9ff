"""An application that runs under a raydp-wrap already: who started it reports, and nothing is told from within."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["TrackedOutside"]


class TrackedOutside:
    """In the place of a :class:`TrackedApplication`: the same methods, of which none does anything.

    ``submission_id`` is the one under which the application is reported. ``outcome`` is always None: it is decided
    when this process is gone.
    """

    outcome = None

    def __init__(self, submission_id: str) -> None:
        """Not for callers: use :func:`track`."""
        self.submission_id = submission_id

    def bind(self, app_id: str) -> None:
        """Nothing: the one outside learns it by itself."""

    def end(self, code: int = 0, *, killed: bool = False, output: str = "", why: str = "") -> None:
        """Nothing: the exit code says how it ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass
