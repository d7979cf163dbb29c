"""The parts of one round of the monitor: treating workers, changing their number,
finding the end."""
