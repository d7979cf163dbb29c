"""Settings of all programs: one model, one loader, one format for errors."""
