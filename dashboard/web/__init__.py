"""The page: access, its data, and the commands it leaves for the monitor."""
