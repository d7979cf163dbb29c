"""A migration on this machine: its parts are started, found, shown and ended."""
