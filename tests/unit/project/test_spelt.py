"""Every command that a document prints, also in running text, could be typed."""

import re

import pytest

from tests.support.machine import printed, spelt

#: A command in running text, and an option.
COMMAND = re.compile(
    r"(\./|(\S*/)?python3? |calibre-to-mbs2|docker compose )\S*|\S+ deploy/\S+"
)
OPTION = re.compile(r"--[a-z](?:-?[a-z0-9])*+(?![…-])")
#: Options of other programs.
FOREIGN = {"--data-checksums", "--autostash", "--durations"}
#: A page that is written before its options are there, and the last of them to come.
COMING, LAST = "docs/direct_lane.md", "--lane"
#: Where commands are printed that are wrong, and what is said of them.
OF_MISTAKES = "docs/mistakes.md"


def commands() -> dict[str, str]:
    """All of them, with a document that prints each."""
    inline = {
        text: name
        for text, name in printed.in_running_text()
        if COMMAND.match(text) and name != OF_MISTAKES
    }
    return {**inline, **printed.printed()}


@pytest.mark.parametrize("command", sorted(commands()))
def test_a_command_is_understood(command: str) -> None:
    """By the parsers of the programs it names; services and profiles by Compose."""
    assert list(spelt.objections(command)) == []


def test_an_option_in_running_text_is_one() -> None:
    """Of some program of ours, or of a foreign one that is named here."""
    known = spelt.options()
    printed_options = {
        option
        for text, name in printed.in_running_text()
        if text.startswith("--") and (LAST in known or name != COMING)
        for option in OPTION.findall(text)
    }
    assert printed_options - known - {LAST} == FOREIGN


@pytest.mark.parametrize(
    "command",
    [
        "./start.sh --libary DIR",
        "MBS2_PASSWORD=x ./stop.sh --everything",
        "./migrate verifi",
        "./migrate status --jason",
        "./stop.sh && git pull && ./start.sh --no-such …",
        "calibre-to-mbs2 undo PASS --dry",
        ".venv/bin/python bulk_migrate_calibre.py ~/Calibre --verfy",
        "python -m benchmarks.faults.nothing",
        "python -m benchmarks.faults.answers --no-such",
        "python -m dashboard --repot DIR",
        "docker compose logs -f monitor",
        "docker compose --profile migration up -d",
        "docker compose up --exit-code-from worker",
        "docker compose exec dashboard calibre-to-mbs2 stats",
        "docker compose cp page:/state/report ./report",
        "./install.sh",
    ],
)
def test_what_is_misspelt_is_seen(command: str) -> None:
    """One objection each."""
    (objection,) = spelt.objections(command)
    assert objection
