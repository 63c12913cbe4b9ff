"""The outcome as the bytes of a JSON document."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from raydp_wrap.outcome import to_dict

if TYPE_CHECKING:
    from raydp_wrap.model import Outcome

__all__ = ["exact", "portable"]

_SURROGATES = re.compile("[\ud800-\udfff]")


def exact(outcome: Outcome) -> bytes:
    r"""For people and for us: indented; a byte that was no UTF-8 (0xff) is ``\udcff``, and can be had again."""
    return json.dumps(to_dict(outcome), indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def portable(outcome: Outcome) -> bytes:
    """For any reader: on one line; what was no UTF-8 is U+FFFD, for many parsers refuse a lone surrogate."""
    text = json.dumps(to_dict(outcome), ensure_ascii=False)
    return _SURROGATES.sub("\ufffd", text).encode()
