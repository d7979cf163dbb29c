"""The parts of one round of the monitor: healing workers and changing their number."""
