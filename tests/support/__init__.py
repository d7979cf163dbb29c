"""Kits and fakes for the tests."""
