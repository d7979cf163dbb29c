"""`python -m deploy.prepare_server`."""

import sys

from deploy.prepare_server.command import main

if __name__ == "__main__":
    sys.exit(main())
