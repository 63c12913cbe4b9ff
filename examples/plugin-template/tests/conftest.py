"""What raydp-wrap has for plugins' tests: raydp_wrap_home, faulty_sink, http_receiver, no_leftover_processes."""

pytest_plugins = ["raydp_wrap.testing.fixtures"]
