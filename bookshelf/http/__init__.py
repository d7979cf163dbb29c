"""The layer below the routes: connections, bodies and middleware."""
