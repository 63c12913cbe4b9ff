"""The smallest face: what the hook builds takes this process's place."""

from __future__ import annotations

import os
import sys

from raydp_wrap.errors import RaydpWrapError

from raydp_wrap_spark.plugin import raydp_wrap_build_launch

try:
    launch = raydp_wrap_build_launch(sys.argv[1], sys.argv[2:], os.environ)
except RaydpWrapError as error:
    if str(error):
        print(f"{sys.argv[1]}: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
os.execve(launch.executable, launch.argv, launch.env)
