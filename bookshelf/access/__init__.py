"""Access to the server: users, their tokens, and the limit on wrong passwords."""
