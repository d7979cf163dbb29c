"""The threads of a worker and what they wait for."""
