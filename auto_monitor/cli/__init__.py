"""The monitor's user interface: commands and status."""
