"""Every command that the documents print in a block of its own, and how it is tried."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from tests.support.environment import PROJECT

DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md")),
    "auto_monitor/README.md",
)
#: What is generated, and quotes what others have said.
WITHOUT = {"docs/errors.md", "docs/settings.md"}
#: The first words of blocks that are no commands: output, settings, drawings.
NO_COMMANDS = (
    "Calibre library          state directory",
    "deploy, dashboard → auto_monitor",
    "--- common/settings/worker.py",
    "--- bulk_migrate_calibre.py",
    "[Service]",
    "scrape_configs:",
    "DROP INDEX CONCURRENTLY",
    "${XDG_STATE_HOME:-~/.local/state}/",
    "~ 17 title: Calibre",
)
#: Blocks that are one script, by their first line, and the test that runs them.
SCRIPTS = {
    "docs/operations.md": ("new=~/.local/state", "tests/e2e/test_state_dir.py"),
}
#: Commands that are not typed here, by how they begin, and why.
NOT_TRIED = {
    "./run_tests.sh": "runs this test",
    "docker ": "needs a container engine: tests/e2e/test_containers.py",
    "python3 -m deploy.check_env": "of containers: tests/integration/deploy",
    "cp deploy/.env.example .env": "of containers",
    ".venv/bin/python -m deploy.prepare_server": "needs PostgreSQL: its own tests",
    "psql ": "needs PostgreSQL",
    ".venv/bin/pip install": "needs the network",
    ".venv/bin/python bulk_migrate_calibre.py ~/Calibre --server http://nas:6006 "
    "--cluster": "tests/integration/cluster",
    "git clone ": "needs the network",
    "cd /srv/mybookshelf2": "needs the network",
    ".venv/bin/python -m deploy.cluster_certificates /etc/": "needs root: "
    "tests/unit/deploy/test_cluster_certificates.py",
    **dict.fromkeys(
        (
            "cd /opt/calibre-migration",
            "bash -c '. deploy/bootstrap.sh",
            "useradd ",
            "install ",
            "cp deploy/systemd/",
            "systemctl ",
            "journalctl ",
            "runuser ",
        ),
        "needs root and systemd: tests/integration/deploy/test_systemd.py",
    ),
}

_FENCE = re.compile(r"^ *```(\S*)$")
_COMMENT = re.compile(r"\s+#( .*)?$")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a document that is shown as it is."""

    document: str
    line: int
    lines: tuple[str, ...]

    def commands(self) -> list[str]:
        """Its commands, without comments, each on one line."""
        whole = "\n".join(self.lines).replace("\\\n", " ")
        said = (_COMMENT.sub("", line).strip() for line in whole.splitlines())
        return [" ".join(line.split()) for line in said if line]


def blocks() -> list[Block]:
    """All of them, in the order of the documents."""
    return [
        block
        for name in DOCUMENTS
        if name not in WITHOUT
        for block in _of(name, PROJECT / name)
    ]


def _of(name: str, path: Path) -> list[Block]:
    found: list[Block] = []
    begun: tuple[int, list[str]] | None = None
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence is None:
            if begun is not None:
                begun[1].append(line)
        elif begun is None:
            begun = (number, [])
        else:
            found.append(Block(name, begun[0], tuple(begun[1])))
            begun = None
    assert begun is None, f"{name} has a block without an end"
    return found


def is_script(block: Block) -> bool:
    """Is it a script, which is run as a whole?"""
    sign, _test = SCRIPTS.get(block.document, ("", ""))
    return bool(sign) and any(line.startswith(sign) for line in block.lines)


def is_typed(block: Block) -> bool:
    """Are its lines commands?"""
    first = block.lines[0].strip()
    return not first.startswith(NO_COMMANDS) and not is_script(block)


def printed() -> dict[str, str]:
    """Every command that is printed, with the first document that prints it."""
    found: dict[str, str] = {}
    for block in filter(is_typed, blocks()):
        for command in block.commands():
            found.setdefault(command, f"{block.document}:{block.line}")
    return found


def why_not(command: str) -> str:
    """Why it is not typed here, or ""."""
    return next(
        (why for sign, why in NOT_TRIED.items() if command.startswith(sign)), ""
    )


def in_running_text() -> Iterator[tuple[str, str]]:
    """Every piece of code in running text and tables, with its document."""
    parser = MarkdownIt("commonmark").enable("table")
    for name in DOCUMENTS:
        for token in parser.parse((PROJECT / name).read_text("utf-8")):
            for piece in token.children or ():
                if piece.type == "code_inline":
                    yield piece.content, name
