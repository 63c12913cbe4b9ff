"""``raydp-wrap ARGV``, killed by SIGKILL at one point on its way: dying.py POINT ARGV…

POINT is MODULE:NAME:WHEN[:N], as in raydp_wrap.store:Store.finish:before:2 - just before the second call of it.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from importlib import import_module
from itertools import count
from typing import Any


def die_at(point: str) -> None:
    module, path, when, *nth = point.split(":")
    holder: Any = import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    found = holder.__dict__[name]
    function = found.__func__ if isinstance(found, classmethod) else found
    number, calls = int(nth[0]) if nth else 1, count(1)

    @functools.wraps(function)
    def dying(*args: Any, **kwargs: Any) -> Any:
        mine = next(calls) == number
        if mine and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        if mine and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(holder, name, classmethod(dying) if isinstance(found, classmethod) else dying)


if __name__ == "__main__":
    die_at(sys.argv[1])
    from raydp_wrap.cli import main

    sys.exit(main(sys.argv[2:]))
