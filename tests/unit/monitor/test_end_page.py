"""The page about the end: what is said of each end, and in which order."""

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from auto_monitor.cli import end_text
from auto_monitor.decide.end_page import (
    Commands,
    Counted,
    End,
    Facts,
    Mood,
    end_page,
    plain,
)
from common.errors import catalogue
from migration.ledger.records import Audited, AuditState
from migration.ledger.tables.notices import NoticeKind
from migration.ledger.totals import Totals
from migration.model import Counts
from tests.support.migration.statekit import HOSTILE

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
END = START + timedelta(minutes=2)
COMMANDS = Commands(
    start="./start.sh --library '/my books'",
    retry="./migrate retry",
    prefer="./start.sh --library '/my books' --prefer calibre",
    resume="./migrate resume 2",
    stop="./stop.sh",
)
TOTALS = Totals(
    3, START, END, Counts(1200, 1100, 90, 10, 0, 0), 1_234_567, {}, {}, 0, 9, 9
)


NOTHING: Mapping[str, object] = {}


def of(facts: Mapping[str, object] = NOTHING, **changes: object) -> Facts:
    """The facts about a pass that is over, with these changes of its totals."""
    found = replace(TOTALS, **changes)  # type: ignore[arg-type]
    given: dict[str, object] = {
        "proved": found.closed_at is not None,
        "server": "http://127.0.0.1:8000",
        "commands": COMMANDS,
        **facts,
    }
    return Facts(found, END, **given)  # type: ignore[arg-type]


def changed(changes: Mapping[str, object]) -> Facts:
    """The facts with these totals."""
    return of(NOTHING, **changes)


FAILED: dict[str, object] = {
    "counts": Counts(1200, 1100, 90, 6, 4, 0),
    "failed": {"empty": 1, "too big": 3},
}
OPEN: dict[str, object] = {
    "closed_at": None,
    "listed": 5000,
    "counts": Counts(1200, 900, 0, 0, 0, 300),
}


@pytest.mark.parametrize(
    ("facts", "mood", "title"),
    [
        pytest.param(of(), Mood.WELL, "Done: 1,190 files on your shelf", id="well"),
        pytest.param(
            of(counts=Counts(2, 1, 1, 0, 0, 0)),
            Mood.WELL,
            "Done: all 2 files on your shelf",
            id="all",
        ),
        pytest.param(
            of(counts=Counts(0, 0, 0, 0, 0, 0)),
            Mood.WELL,
            "Done: there was no file to migrate",
            id="nothing",
        ),
        pytest.param(
            changed(FAILED),
            Mood.PARTLY,
            "Done: 1,190 files on your shelf; 4 files did not go",
            id="failures",
        ),
        pytest.param(
            of({"meant": {"empty": 1, "too big": 3}}, **FAILED),
            Mood.WELL,
            "Done: 1,190 files on your shelf; 4 files did not go, as this demo is made "
            "to show",
            id="the demo's failures",
        ),
        pytest.param(
            of({"meant": {"empty": 1}}, **FAILED),
            Mood.PARTLY,
            "Done: 1,190 files on your shelf; 4 files did not go",
            id="more than the demo's failures",
        ),
        pytest.param(
            of(differences={"wrong title": 1}),
            Mood.BADLY,
            "Done, but 1 difference stands on the server",
            id="a difference",
        ),
        pytest.param(
            of({"proved": False}),
            Mood.BADLY,
            "Done, but the numbers do not agree",
            id="not proved",
        ),
        pytest.param(
            of({"runs": True}, **OPEN),
            Mood.OPEN,
            "Under way: 900 of 5,000 files have their outcome",
            id="under way",
        ),
        pytest.param(
            of({"ended": "limit reached"}, **OPEN),
            Mood.OPEN,
            "Not done: the limit is reached (--limit). 900 of 5,000 files have their "
            "outcome; the pass stays open",
            id="limit",
        ),
        pytest.param(
            of({"ended": "out of time"}, **OPEN),
            Mood.OPEN,
            "Not done: the time is up (--max-duration). 900 of 5,000 files have their "
            "outcome; the pass stays open",
            id="time",
        ),
        pytest.param(
            of({"ended": "stopped"}, **{**OPEN, "listed": None}),
            Mood.OPEN,
            "Not done: it was stopped. 900 files have their outcome; the pass stays open",
            id="stopped",
        ),
        pytest.param(
            of({"ended": "failed"}, **OPEN),
            Mood.BADLY,
            "Not done: no worker can go on. 900 of 5,000 files have their outcome; the "
            "pass stays open",
            id="hopeless",
        ),
        pytest.param(
            of({"ended": "of another version"}, **OPEN),
            Mood.OPEN,
            "Not done: nobody works on it now. 900 of 5,000 files have their outcome; "
            "the pass stays open",
            id="the monitor died",
        ),
        pytest.param(
            of(undoes=2, deleted={"ebook": 4}, stays={"somebody has rated it": 1}),
            Mood.WELL,
            "Pass 3 undid pass 2: 4 ebook taken back, 1 stay",
            id="undo",
        ),
    ],
)
def test_the_first_line(facts: Facts, mood: Mood, title: str) -> None:
    """How it ended, in one sentence."""
    page = end_page(facts)
    assert (page.mood, page.title) == (mood, title)
    assert end_text.as_text(page).splitlines()[0] == title


@pytest.mark.parametrize(
    ("facts", "first"),
    [
        pytest.param(of(), (), id="nothing went wrong"),
        pytest.param(
            of({"paused": [2]}),
            (
                "Worker 2 is paused, because no attempt has helped: others did what it "
                "could not.",
            ),
            id="paused, and closed by others",
        ),
        pytest.param(
            of({"paused": [1, 2], "troubles": ["Worker 1: stuck on a.epub"]}, **OPEN),
            (
                "Workers 1, 2 are paused, because no attempt has helped: what they had "
                "in hand is not done.",
                "Worker 1: stuck on a.epub",
            ),
            id="all paused",
        ),
        pytest.param(
            of(
                {"changed_script": "The workers' script was changed"},
                differences={"second ebook": 2, "working title left": 1},
            ),
            (
                "On the server stands what should not (2 second ebook, 1 working title "
                "left): the report and the workers' logs name each, docs/errors.md says "
                "what to do.",
                "The workers' script was changed",
            ),
            id="differences",
        ),
        pytest.param(
            of({"proved": False}),
            (
                "The rows of the ledger do not agree with its counters: please report "
                "this.",
            ),
            id="not proved",
        ),
    ],
)
def test_what_went_wrong_comes_first(facts: Facts, first: tuple[str, ...]) -> None:
    """Before shelf, numbers and failures."""
    page = end_page(facts)
    assert page.first == first
    lines = end_text.as_text(page).splitlines()
    assert lines[1 : 1 + len(first)] == [f"  {sentence}" for sentence in first]
    assert lines[1 + len(first)] == "  Your shelf: http://127.0.0.1:8000"


def test_the_numbers() -> None:
    """The equation with its proof, the pace, what was read back."""
    audited = Audited(AuditState.SAMPLED, 20_000, 200, 3)
    page = end_page(of(audited=audited))
    assert (page.equation, page.pace, page.audit) == (
        "1,200 files = 1,100 uploaded + 90 there already + 10 skipped + 0 failed + 0 "
        "pending (proved row by row)",
        "1.2 MB uploaded in 2 min, 600 files/min",
        "Read back from the server: 200 of 20,000 changed books, chosen at random; 3 of "
        "them changed in Calibre since: the next pass's work.",
    )
    assert "(THE ROWS DO NOT AGREE)" in end_page(of({"proved": False})).equation
    assert "row" not in end_page(changed(OPEN)).equation


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (AuditState.NOTHING, ""),
        (AuditState.PROVED, "Read back from the server: all 1 changed book."),
        (AuditState.OFF, "Nothing was read back from the server (--audit off)."),
        (
            AuditState.BROKEN,
            "Nothing was read back from the server: the audit failed.",
        ),
    ],
)
def test_the_audit(state: AuditState, said: str) -> None:
    """Nothing is claimed that was not looked at."""
    assert end_page(of(audited=Audited(state, 1, 1))).audit == said


def test_failures_have_reason_and_remedy() -> None:
    """From the catalogue of errors; the most frequent first, with examples."""
    examples = {"too big": ["book 7, PDF: 600000000 bytes", "b", "c"]}
    page = end_page(of({"examples": examples}, **FAILED))
    assert [(one.reason, one.n, one.do) for one in page.failures] == [
        ("too big", 3, "raise the limit of the server and of the worker"),
        ("empty", 1, "replace it in Calibre"),
    ]
    assert [
        line.strip() for line in end_text.as_text(page).splitlines() if "  " in line
    ][1:8] == [
        "3 too big",
        "Why: over MAX_CONTENT_LENGTH (500 MB, framing included), or over the server's "
        "own limit",
        "What to do: raise the limit of the server and of the worker",
        "Tried again: with --retry-failed",
        "book 7, PDF: 600000000 bytes",
        "b",
        "c",
    ]


@pytest.mark.parametrize(
    "reason",
    sorted({entry.reason for entry in catalogue.entries() if entry.again}),
)
def test_every_reason_has_a_remedy(reason: str) -> None:
    """In plain words, without marks of Markdown."""
    (one,) = end_page(of(failed={reason: 1}, counts=Counts(1, 0, 0, 0, 1, 0))).failures
    assert one.why and one.do and one.again
    assert not set("`[]*") & set(one.why + one.do + one.again)


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_every_notice_has_a_remedy(kind: NoticeKind) -> None:
    """From the same catalogue."""
    (one,) = end_page(of(noticed={kind.value: 2})).noticed
    assert (one.what, one.n) == (kind.value, 2)
    assert one.do


def test_a_link_of_the_catalogue_names_the_page() -> None:
    """There is nothing to click on."""
    assert plain("read them; [From the server](#from-the-server)") == (
        "read them; From the server in docs/errors.md"
    )


def test_what_was_changed_and_left_out() -> None:
    """Updates, replaced files, conflicts, deletions; fields by number of books."""
    page = end_page(
        of(
            {"reported": {"conflict": 2, "kept": 1, "refused": 3, "overwritten": 4}},
            updated={"book": 5, "title": 4, "series_index": 1},
            replaced=6,
            deleted={"ebook": 1},
            stays={"somebody has rated it": 2},
            not_carried={"comments": 3, "identifiers": 30},
            orphaned_uploads=7,
        )
    )
    assert page.changed == (
        Counted("books updated (title 4, series index 1)", 5),
        Counted("files replaced by Calibre's newer ones", 6),
        Counted(
            "fields edited in Calibre and on the server: the server's value stays",
            2,
            "--prefer calibre sends Calibre's",
        ),
        Counted("fields edited on the server only: they stay", 1),
        Counted(
            "fields of which the server does not take Calibre's value",
            3,
            "the report names each",
        ),
        Counted(
            "fields edited in Calibre and on the server: Calibre's value was sent", 4
        ),
        Counted("ebook: removed in Calibre, deleted on the server", 1),
        Counted("removed in Calibre, stay on the server", 2),
    )
    assert page.not_carried == (Counted("identifiers", 30), Counted("comments", 3))
    assert page.noticed == (Counted("uploads left to the server's clean-up", 7),)
    text = end_text.as_text(page)
    assert "identifiers 30, comments 3" in text
    assert "not_carried.jsonl" in text


@pytest.mark.parametrize(
    ("facts", "commands"),
    [
        pytest.param(of(), [COMMANDS.start, COMMANDS.stop], id="well"),
        pytest.param(
            changed(FAILED),
            [COMMANDS.start, COMMANDS.retry, COMMANDS.stop],
            id="failed",
        ),
        pytest.param(
            of({"meant": {"empty": 1, "too big": 3}}, **FAILED),
            [COMMANDS.start, COMMANDS.stop],
            id="failed as meant",
        ),
        pytest.param(
            of({"reported": {"conflict": 1}}),
            [COMMANDS.start, COMMANDS.prefer, COMMANDS.stop],
            id="conflicts",
        ),
        pytest.param(
            of({"ended": "limit reached"}, **OPEN),
            [COMMANDS.start, COMMANDS.stop],
            id="open",
        ),
        pytest.param(
            of({"paused": [2]}, **OPEN),
            [COMMANDS.resume, COMMANDS.start, COMMANDS.stop],
            id="paused",
        ),
        pytest.param(of({"runs": True}, **OPEN), [], id="under way"),
        pytest.param(of({"stays": True}), ["", COMMANDS.stop], id="it watches"),
        pytest.param(
            of({"commands": replace(COMMANDS, stop="", serve="./migrate serve")}),
            [COMMANDS.start, "./migrate serve"],
            id="the server is stopped",
        ),
    ],
)
def test_what_to_type(facts: Facts, commands: list[str]) -> None:
    """Only what makes sense; a pass that is open goes on."""
    page = end_page(facts)
    assert [step.command for step in page.next] == commands
    goes_on = facts.found.closed_at is None and not facts.runs
    assert any(step.what == "To go on from here" for step in page.next) == goes_on


def full() -> End:
    """A page with everything on it, and long and hostile texts."""
    return end_page(
        of(
            {
                "paused": [1],
                "troubles": [HOSTILE[2]],
                "examples": {"empty": [f"book 1, EPUB: {text}" for text in HOSTILE]},
                "reported": {"conflict": 2},
                "login": "/state dir/bookshelf/credentials",
                "report": "/state dir/report/pass-3/report.html",
                "changed_script": HOSTILE[1] * 5,
            },
            failed={"empty": 9},
            counts=Counts(1200, 1100, 90, 1, 9, 0),
            not_carried={f"field {n} {HOSTILE[n % 3]}": n + 1 for n in range(30)},
            noticed={kind.value: 4 for kind in NoticeKind},
        )
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_of_any_width(width: int) -> None:
    """Nothing is longer than a line but what is to be pasted; no markup is obeyed."""
    console = Console(file=io.StringIO(), width=width)
    page = full()
    end_text.draw(page, console)
    shown = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    whole = {line.text for line in end_text.lines(page) if line.whole}
    assert [
        line for line in shown if cell_len(line) > width and line.strip() not in whole
    ] == []
    assert all(any(text == line.strip() for line in shown) for text in whole)
    assert "and 6 more, see the report" in "\n".join(shown)
    assert "18 more fields" in " ".join("\n".join(shown).split())
