"""The demo: its library, the books it is made of, and what a migration of it must
report."""
