"""The task engine behind the WebSocket."""
