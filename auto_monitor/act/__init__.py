"""What the monitor does to processes, and how people are told."""
