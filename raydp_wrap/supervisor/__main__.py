"""``python -m raydp_wrap.supervisor``: supervise the home in the foreground, for service managers."""

from __future__ import annotations

import sys

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.home import home
from raydp_wrap.supervisor.background import in_foreground

if __name__ == "__main__":
    try:
        in_foreground(home())
    except RaydpWrapError as trouble:
        sys.exit(f"raydp-wrap: {trouble}")
