"""An example of a plugin for raydp-wrap, to be copied."""
