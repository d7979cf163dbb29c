"""Below the routes: connections, bodies, and what happens around every handler."""
