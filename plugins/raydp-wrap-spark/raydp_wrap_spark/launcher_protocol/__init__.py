"""Spark's launcher protocol, spoken by a driver to whoever launched it: its app id, its state, and a polite stop."""
