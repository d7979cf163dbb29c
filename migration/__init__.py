"""The worker's trusted code: library, protocol, ledger, progress.

A code fix may never rewrite it.
"""
