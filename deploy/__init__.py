"""Starting and stopping on a plain host; used by start.sh and stop.sh."""
