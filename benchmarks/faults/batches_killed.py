"""The worker, or the embedded server, is killed with SIGKILL in the middle of a batch of
books, again and again; what is true at the end of each migration?

    python -m benchmarks.faults.batches_killed [--kills 40] [--books 90] [--seed 1]

Each kill has a migration of its own: at a drawn batch, a drawn time after its request
was sent. Whoever was killed is started again. Goal: 0 files lost, 0 twice, 0 ebooks
without a file, 0 files and covers on the server's disk that no row names, and the
equation exact."""

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.support.migration.batchkills import Kill, make_library, run

#: The longest time after which is killed; a batch takes about as long.
LONGEST_SECONDS = 0.4


def main() -> int:
    """Prints what is wrong; 1 when anything is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=40, help="[default: 40]")
    parser.add_argument("--books", type=int, default=90, help="[default: 90]")
    parser.add_argument("--seed", type=int, default=1, help="[default: 1]")
    given = parser.parse_args()
    # The proxy's words about a server that was killed.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL + 1)
    rnd, started = random.Random(given.seed), time.monotonic()
    struck: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="batches-killed-") as name:
        root = Path(name)
        library, contents = make_library(root / "library", given.books)
        for number in range(given.kills):
            kill = Kill(
                rnd.choice(("worker", "server")),
                rnd.randint(1, 3),
                rnd.uniform(0.0, LONGEST_SECONDS),
            )
            hit, found = run(root / str(number), library.root, contents, kill)
            struck[kill.victim] += hit
            wrong += [f"{kill}: {what}" for what in found]
            shutil.rmtree(root / str(number))
    print(f"{struck.total()} kills in mid-migration: {dict(struck)}")
    print(
        f"{time.monotonic() - started:.0f} s: "
        f"{'; '.join(wrong) or 'nothing lost, nothing twice, nothing left over'}"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
