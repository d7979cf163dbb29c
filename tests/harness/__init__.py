"""Orchestration in one process: fakes all around, and time that moves when told."""
