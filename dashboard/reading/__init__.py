"""Reads a state directory: progress, rates, failures. Writes nothing."""
