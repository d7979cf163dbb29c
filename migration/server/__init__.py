"""MyBookshelf2 over REST and WebSocket: the only maker of receipts, the only translator
of its responses."""
