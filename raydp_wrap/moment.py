"""Points in time that a moved wall clock does not move, and that mean something after a reboot too."""

from __future__ import annotations

import time
from dataclasses import dataclass
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
    Between two boots there is only the wall clock.
    """

    boot_id: str
    monotonic: float
    wall: float

    @classmethod
    def now(cls) -> Self:
        """The present one."""
        return cls(boot_id(), time.monotonic(), time.time())

    def after(self, seconds: float) -> Moment:
        """SECONDS later."""
        return Moment(self.boot_id, self.monotonic + seconds, self.wall + seconds)

    def until(self, other: Moment) -> float:
        """Seconds from this moment to OTHER; less than 0 when that is past."""
        if self.boot_id == other.boot_id:
            return other.monotonic - self.monotonic
        return other.wall - self.wall

    def to_dict(self) -> dict[str, object]:
        """As JSON values."""
        return {"boot_id": self.boot_id, "monotonic": self.monotonic, "wall": self.wall}

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> Moment:
        """What :meth:`to_dict` made RAW of.

        Raises:
            KeyError, TypeError, ValueError: it is none.

        """
        return cls(str(raw["boot_id"]), float(str(raw["monotonic"])), float(str(raw["wall"])))


def boot_id() -> str:
    """The present boot's; "" where the kernel doesn't tell, which then is one boot for ever."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
