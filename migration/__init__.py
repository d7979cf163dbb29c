"""The trusted substrate of the worker: library, wire, ledger, progress. A code fix may
never rewrite it."""
