"""Points in time that a moved wall clock does not move, and that mean something after a reboot too."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

__all__ = ["Moment"]

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: seconds of CLOCK_MONOTONIC in boot ``boot_id``, and seconds since the epoch (``wall``).

    Within one boot the monotonic clock counts, which stands still while the machine is suspended, as a guard's does.
    Between two boots there is only the wall clock, which somebody may have moved: it is never taken to be further away
    than the ``span`` (seconds) that it was when it was set.
    """

    boot_id: str
    monotonic: float
    wall: float
    span: float = 0.0

    @classmethod
    def now(cls) -> Self:
        """The present one."""
        return cls(boot_id(), time.monotonic(), time.time())

    def after(self, seconds: float) -> Moment:
        """SECONDS later."""
        return Moment(self.boot_id, self.monotonic + seconds, self.wall + seconds, seconds)

    def until(self, other: Moment) -> float:
        """Seconds from this moment to OTHER; less than 0 when that is past."""
        if self.boot_id == other.boot_id:
            return other.monotonic - self.monotonic
        return min(other.wall - self.wall, other.span)

    def here(self, other: Moment) -> Moment:
        """OTHER as a moment of this one's boot, on whose clock it can be waited for."""
        return other if other.boot_id == self.boot_id else self.after(self.until(other))

    def to_dict(self) -> dict[str, object]:
        """As JSON values."""
        return {"boot_id": self.boot_id, "monotonic": self.monotonic, "wall": self.wall, "span": self.span}

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> Moment:
        """What :meth:`to_dict` made RAW of.

        Raises:
            KeyError, TypeError, ValueError: it is none.

        """
        monotonic, wall, span = (float(str(raw[name])) for name in ("monotonic", "wall", "span"))
        return cls(str(raw["boot_id"]), monotonic, wall, span)


def boot_id() -> str:
    """The present boot's; "" where the kernel doesn't tell, which then is one boot for ever."""
    return _read(_BOOT_ID)


@lru_cache(maxsize=1)  # no process outlives a boot, and a supervisor asks often
def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


# A child may be in a container, which has been given another.
os.register_at_fork(after_in_child=_read.cache_clear)
