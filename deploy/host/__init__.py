"""A migration on this machine: starts, finds, shows and stops its parts."""
