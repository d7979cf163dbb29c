"""Confinement of a worker whose script was changed by an LLM.

`launch` starts it; `rules` says what it may use, `kernel` has the kernel enforce that
with Landlock and seccomp, and `broker` does outside what it may not do itself: connect
to the server, and start the audit. `inside` asks the broker.
"""
