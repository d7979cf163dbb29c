"""From an LLM's text to a changed script: edit, guard, gate, sandbox."""
