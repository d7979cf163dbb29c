"""The audit: what a pass changed, read back from the server before the pass closes.

A process of its own (`python -m migration.audit`) reads Calibre and the server, and
derives what should be there by a second, plain mapping. It shares no code with what
wrote: neither the script that an LLM may change, nor the mapping in `metadata`.
"""
