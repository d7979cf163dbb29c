"""Who may use the server: users, their tokens, and how often a password may be wrong."""
