"""Tell the sinks: at least once each, whatever they do. Each module is imported by who needs it."""
