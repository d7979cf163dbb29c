"""Starting and stopping on a plain host; used by start.sh and stop.sh."""

from pathlib import Path

#: The checkout, or the folder where the packages are installed.
PROJECT = Path(__file__).resolve().parent.parent
