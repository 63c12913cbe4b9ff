"""An application that tells what it was started with, and exits with 3."""

from __future__ import annotations

import json
import os
import sys

json.dump({"argv": sys.argv, "env": dict(os.environ), "python": sys.executable}, sys.stdout)
print()
sys.exit(3)
