"""What a person asks of the monitor and what it shows."""
