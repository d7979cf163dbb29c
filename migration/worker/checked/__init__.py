"""What the policy script holds instead of the worker's parts.

Each part behaves as the one behind it, and compares what the script hands over with
what this process itself has read, hashed, asked and been told (`observed`). A claim
that does not agree raises FalseClaim, and nothing of it is recorded.
"""
