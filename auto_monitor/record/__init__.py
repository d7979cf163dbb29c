"""What the monitor writes down: history, memory, evidence, samples, log."""
