"""Tell the sinks: at least once each, whatever they do."""
