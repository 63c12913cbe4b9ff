"""The goals of the process core, measured: ``python -m benchmarks``. See README.md."""
