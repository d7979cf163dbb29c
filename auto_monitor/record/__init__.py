"""What the monitor records: history, memory, evidence, samples, log."""
