"""What all programs here share; it knows none of them."""
