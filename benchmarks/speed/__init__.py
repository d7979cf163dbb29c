"""What a file costs, beside other programs."""
