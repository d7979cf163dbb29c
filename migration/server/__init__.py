"""MyBookshelf2 over REST and WebSocket: the only code that makes receipts."""
