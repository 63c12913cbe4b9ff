"""What each reason means: the one table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from raydp_wrap.model import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping


class Fault(Enum):
    """Whose it is to mend."""

    USER = "user"
    INFRASTRUCTURE = "infrastructure"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Meaning:
    """A reason's row: whether another attempt may end otherwise, whose fault it is, and what to tell a person."""

    retryable: bool
    fault: Fault
    text: str


_USER, _INFRASTRUCTURE, _NOBODY = Fault.USER, Fault.INFRASTRUCTURE, Fault.NOBODY

REASONS: Final[Mapping[Reason, Meaning]] = MappingProxyType(
    {
        Reason.APP_FAILED: Meaning(retryable=True, fault=_USER, text="the application failed"),
        Reason.SUBMISSION_FAILED: Meaning(retryable=True, fault=_INFRASTRUCTURE, text="it could not be started"),
        Reason.DEADLINE_EXCEEDED: Meaning(retryable=False, fault=_USER, text="the active deadline was exceeded"),
        Reason.ATTEMPT_DEADLINE_EXCEEDED: Meaning(
            retryable=False, fault=_USER, text="the attempt's deadline was exceeded"
        ),
        Reason.START_TIMEOUT: Meaning(
            retryable=False, fault=_INFRASTRUCTURE, text="the job was not up before its start deadline"
        ),
        Reason.STOP_REQUESTED: Meaning(retryable=False, fault=_NOBODY, text="a stop was asked for"),
        Reason.SUSPENDED: Meaning(retryable=False, fault=_NOBODY, text="it was suspended"),
        Reason.OWNER_DIED: Meaning(retryable=True, fault=_INFRASTRUCTURE, text="the process that ran the job died"),
        Reason.OUT_OF_MEMORY: Meaning(retryable=True, fault=_USER, text="there was not enough memory"),
        Reason.JOB_LOST: Meaning(
            retryable=True, fault=_INFRASTRUCTURE, text="the job was lost: nobody saw how it ended"
        ),
        Reason.EXIT_FORCED: Meaning(
            retryable=False, fault=_USER, text="the application was done, and its process had to be ended"
        ),
        Reason.VALIDATION_FAILED: Meaning(retryable=False, fault=_USER, text="the request was wrong"),
    }
)
