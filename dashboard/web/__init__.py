"""The page: who may see it, its data, the commands it leaves for the monitor."""
