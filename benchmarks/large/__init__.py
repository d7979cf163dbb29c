"""Large libraries, many workers, long runs."""
