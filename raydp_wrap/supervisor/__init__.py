"""What runs the supervised submissions of a home."""

from __future__ import annotations
