"""What the monitor does to processes, and how it notifies people."""
