"""Whole programs in one process: real ledgers, real servers, a told clock."""
