"""One attempt on one worker, from the question to the verdict."""
