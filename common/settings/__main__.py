"""`python -m common.settings`: writes the files generated from the model."""

import argparse
import sys

from common.settings.reference import written


def main() -> int:
    """Writes or checks the files; with --check returns 1 when one is not up to date."""
    parser = argparse.ArgumentParser(
        prog="python -m common.settings",
        description="Writes docs/settings.md and the migrator's list of variables in "
        "docker-compose.yml from the model in common/settings/.",
        epilog="Exit status: 0 all is up to date, 1 --check: something is not.",
        allow_abbrev=False,
    )
    parser.add_argument("--check", action="store_true", help="write nothing; only say")
    check = parser.parse_args().check
    stale = [
        (path, text)
        for path, text in written().items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    for path, text in stale:
        sys.stdout.write(
            f"{path.name} {'is not up to date' if check else 'is written'}\n"
        )
        if not check:
            path.write_text(text, "utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
