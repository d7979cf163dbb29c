"""Supervision: observes, restarts, scales and repairs the workers.

It never imports the worker.
"""
