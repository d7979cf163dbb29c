"""Files: replaced whole or not at all, locked, read from their end; and why one cannot be
used."""
