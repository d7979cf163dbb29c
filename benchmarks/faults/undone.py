"""A pass is undone by workers that are killed with SIGKILL again and again: does exactly
go what nobody touched, and is all else as it was, byte for byte?

    python -m benchmarks.faults.undone [--books 200] [--older 50] [--touched 3]
    [--kills 20] [--seed 1]

The server has older ebooks. Of those of the pass some are touched: edited, rated, put on
a shelf or given a file by another user, given another cover, deprived of a file; so many
in each way. All that stays is downloaded before and after. Goal: 0 ebooks wrong."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from migration.ledger import totals
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import PASSWORD, USERNAME, end
from tests.support.libraries.undokit import READER, KilledUndo, Undone
from tests.support.servers.firstuser import seed
from tests.support.servers.shelf import start_shelf


def run(what: Undone) -> list[str]:
    """Returns what is wrong; [] when nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        seed(root / "shelf", USERNAME, PASSWORD, users=(READER,))
        shelf = start_shelf(root / "shelf")
        try:
            world = KilledUndo(root, shelf, what)
            world.prepare()
            begun = time.monotonic()
            code, said = world.undo()
            seconds = time.monotonic() - begun
            found = totals.read(root / "state" / LEDGER_NAME)
            wrong = world.wrong()
        finally:
            if shelf.process is not None:
                end(shelf.process)
    if code != int(what.touched > 0):
        wrong.append(f"exit status {code}: {said}")
    deleted = dict(found.deleted) if found is not None else {}
    struck = ", ".join(f"{n} × {' '.join(one)}" for one, n in world.struck.items())
    sys.stdout.write(
        f"{what.books} books, {len(world.kept)} ebooks to stay; {seconds:.0f} s with "
        f"{sum(world.struck.values())} kills ({struck}); deleted: {deleted}; "
        f"{len(wrong)} ebooks wrong\n"
    )
    return wrong


def main() -> int:
    """Prints the figures and what is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--books", type=int, default=200, help="of the pass")
    parser.add_argument("--older", type=int, default=50, help="ebooks before it")
    parser.add_argument("--touched", type=int, default=3, help="in each way")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    what = Undone(given.books, given.older, given.touched, given.kills, given.seed)
    wrong = run(what)
    sys.stdout.write("".join(f"{line}\n" for line in wrong[:20]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
