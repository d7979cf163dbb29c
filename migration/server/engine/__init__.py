"""The server's task engine over WebSocket."""
