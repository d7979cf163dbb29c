"""What `upload/check` asks of the server's PostgreSQL, before and after `python -m
deploy.prepare_server`.

    python -m benchmarks.large.prepare_server [--sources 200000] [--queries 200]

Starts a PostgreSQL of its own with MyBookshelf2's tables. Times are those of one query
as the server sends it, from one idle client on this machine, median of so many; a file
that is new is the usual case. Goal: the plan asks the index."""

import argparse
import contextlib
import io
import statistics
import sys
import time

import psycopg

from deploy.prepare_server import command
from tests.support.servers.postgreskit import running

ASKED = "SELECT * FROM source WHERE source.size = %s AND source.hash = %s"


def median_ms(
    db: "psycopg.Connection[tuple[object, ...]]", asked: list[tuple[object, ...]]
) -> float:
    """The median time of one query, in milliseconds. Values are put into the text here,
    as the server's driver does."""
    times = []
    with psycopg.ClientCursor(db) as cursor:
        for size, sha1 in asked:
            began = time.perf_counter()
            cursor.execute(ASKED, (size, sha1)).fetchall()
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def plan(
    db: "psycopg.Connection[tuple[object, ...]]", size: object, sha1: object
) -> str:
    """The step of the plan that reads the table."""
    with psycopg.ClientCursor(db) as cursor:
        lines = [
            str(row[0])
            for row in cursor.execute(f"EXPLAIN {ASKED}", (size, sha1)).fetchall()
        ]
    step = next(line for line in lines if " source" in line)
    return step.split("(")[0].replace("->", "").strip()


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sources", type=int, default=200_000, help="rows of source [default: 200000]"
    )
    parser.add_argument(
        "--queries", type=int, default=200, help="queries of each kind [default: 200]"
    )
    given = parser.parse_args()
    with running() as server:
        uri = server.mybookshelf2("benchmark", sources=given.sources)
        with psycopg.connect(uri, autocommit=True) as db:
            step = max(1, given.sources // given.queries)
            there: list[tuple[object, ...]] = db.execute(
                "SELECT size, hash FROM source WHERE id %% %s = 0", (step,)
            ).fetchall()
            new: list[tuple[object, ...]] = [
                (size, f"{number:040x}") for number, (size, _sha1) in enumerate(there)
            ]
            kinds = (("a new file", new), ("a file it has", there))
            before = [
                (median_ms(db, asked), plan(db, *asked[0])) for _kind, asked in kinds
            ]
            began = time.perf_counter()
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                command.run(uri)
            seconds = time.perf_counter() - began
            print(f"{given.sources} sources; prepared in {seconds:.1f} s:")
            print(
                "".join(f"    {line[:100]}\n" for line in said.getvalue().splitlines())
            )
            print(f"| upload/check of | before | after | ratio | n |\n|{' --- |' * 5}")
            for (kind, asked), (earlier, old) in zip(kinds, before, strict=True):
                later = median_ms(db, asked)
                print(
                    f"| {kind} | {earlier:.2f} ms, {old} | {later:.3f} ms, {plan(db, *asked[0])} | "
                    f"{earlier / later:.0f} | {len(asked)} |"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
