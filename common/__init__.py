"""What all programs here share; it knows nothing of any of them."""
