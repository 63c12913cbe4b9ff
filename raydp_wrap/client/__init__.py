"""Jobs from Python: submit them, look at them, wait for them, read their output."""

from __future__ import annotations

from raydp_wrap.client.client import Client
from raydp_wrap.client.job import Job
from raydp_wrap.client.shortcuts import run, submit

__all__ = ["Client", "Job", "run", "submit"]
