"""What breaks, and what is true then."""
