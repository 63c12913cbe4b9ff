"""``python -m raydp_wrap``: the same as ``raydp-wrap``."""

import sys

from raydp_wrap.cli import main

sys.exit(main())
