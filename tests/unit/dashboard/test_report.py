"""The report's charts and page, from made values."""

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.json_value import Json
from dashboard.report.drawing import line_chart
from dashboard.report.page import render
from tests.support.migration.statekit import HOSTILE

START = datetime(2026, 11, 24, tzinfo=UTC)
VALUE: dict[str, Json] = {
    "schema": 1,
    "made_at": START.isoformat(),
    "library": HOSTILE[0],
    "server": "http://s",
    "end": {
        "pass_id": 1,
        "mood": "partly",
        "title": "Done: 3 files on your shelf; 1 file did not go",
        "first": [HOSTILE[0]],
        "shelf": "http://s",
        "login": "/state/bookshelf/credentials",
        "equation": "",
        "pace": "",
        "audit": "Read back from the server: all 3 changed books.",
        "failures": [
            {
                "reason": "empty",
                "n": 1,
                "why": "it has 0 bytes",
                "do": "replace it in Calibre",
                "again": "in the next pass",
                "meant": "",
                "examples": [],
            }
        ],
        "changed": [{"what": "books updated (title 1)", "n": 2, "do": ""}],
        "not_carried": [{"what": HOSTILE[0], "n": 4, "do": ""}],
        "noticed": [{"what": "book without files", "n": 1, "do": "nothing"}],
        "next": [
            {"what": "To try the failed files again", "command": "./migrate retry"}
        ],
        "report": "",
    },
    "pass": {
        "id": 1,
        "opened_at": START.isoformat(),
        "closed_at": START.isoformat(),
        "seconds": 90.0,
    },
    "selection": None,
    "undoes": None,
    "deleted": {},
    "stays": {},
    "total": 5,
    "counts": {
        "discovered": 5,
        "uploaded": 3,
        "duplicate": 0,
        "skipped": 1,
        "failed": 1,
        "pending": 0,
    },
    "balanced": True,
    "proved": True,
    "bytes_uploaded": 12345,
    "files_per_min": 3.3,
    "orphaned_uploads": 2,
    "failed": {"empty": 1},
    "failed_files": [
        {
            "book_id": 1,
            "format": HOSTILE[0],
            "size": 0,
            "reason": "empty",
            "message": HOSTILE[0],
        }
    ],
    "failed_files_complete": False,
    "updated": {"book": 2, "series_index": 1, "title": 1},
    "edits": [
        {
            "book_id": 1,
            "field": "title",
            "kind": "conflict",
            "calibre": HOSTILE[0],
            "server": HOSTILE[0],
            "pass_id": 1,
        }
    ],
    "edits_complete": False,
    "not_carried": {HOSTILE[0]: 4},
    "slowest_complete": False,
    "noticed": {"book without files": 1},
    "notices_complete": False,
    "notices": [
        {
            "book_id": 1,
            "format": "",
            "what": "book without files",
            "message": HOSTILE[0],
        }
    ],
    "differences": [
        {"ebook_id": 7, "book_id": 1, "what": "empty ebook", "message": HOSTILE[0]}
    ],
    "differences_complete": False,
    "slowest": [
        {
            "seconds": 3.0,
            "at": START.isoformat(),
            "size": 5,
            "file": HOSTILE[0],
            "worker_id": 1,
        }
    ],
    "rate": [
        {
            "at": (START + timedelta(minutes=i)).isoformat(),
            "files_per_min": i,
            "bytes_per_second": 5,
            "disk_percent": None,
            "workers": 2,
        }
        for i in range(3)
    ],
    "monitor": [
        {
            "at": START.isoformat(),
            "worker_id": 1,
            "attempt": 1,
            "fix_type": "code_fix",
            "root_cause": HOSTILE[0],
            "description": "",
            "verdict": "verified",
            "reason": HOSTILE[0],
            "code": HOSTILE[0],
        }
    ],
}


def with_end(**changes: Json) -> dict[str, Json]:
    """The value with another end."""
    end = VALUE["end"]
    assert isinstance(end, dict)
    return VALUE | {"end": {**end, **changes}}


def test_no_link_leads_elsewhere_than_to_a_server() -> None:
    """An address of another kind is text."""
    page = render(with_end(shelf="javascript:alert(1)"))
    assert "href" not in page
    assert "Your shelf: <bdi>javascript:alert(1)</bdi>" in page


def test_a_report_without_an_end() -> None:
    """As one is made of a ledger that cannot be read any more."""
    assert "What did not go" not in render(VALUE | {"end": None})


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    """No script, no reference to anything; hostile text is text wherever it stands."""
    page = render(VALUE)
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 14
    assert re.findall(r'(?:src|href)="[^"]*"', page) == ['href="http://s"']
    assert "url(" not in page
    assert page.count("<svg") == 3, "the disk could not be measured"
    assert "Proved row by row." in page
    assert "There was no time to read all logs." in page
    assert "empty ebook" in page
    assert "On the server, and should not be" not in render(VALUE | {"differences": []})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"proved": False}, "The rows do not agree"),
        (
            {
                "proved": None,
                "pass": {
                    "id": 1,
                    "opened_at": START.isoformat(),
                    "closed_at": None,
                    "seconds": 1.0,
                },
            },
            "still open",
        ),
        ({"failed": {}}, "No file failed."),
        ({"updated": {}}, "Nothing that was carried before had changed in Calibre."),
        ({"not_carried": {}}, "Everything the books say was carried."),
        ({"noticed": {}, "notices": []}, "Nothing was."),
        ({"rate": []}, "There are no samples of this pass"),
        ({"monitor": []}, "Nothing had to be repaired."),
        ({"slowest": []}, "The logs name no upload"),
        ({"total": None, "files_per_min": None}, "not counted"),
        (
            {"selection": {"words": "tag <b>", "books": 1200, "outside": 1160}},
            "Selection: <bdi>tag &lt;b&gt;</bdi>; 1,160 of 1,200 books are outside.",
        ),
        (
            {},
            "<b>1 empty</b>. Why: it has 0 bytes. What to do: replace it in Calibre.",
        ),
        ({}, "To try the failed files again: <code>./migrate retry</code>"),
        ({}, 'Your shelf: <a href="http://s" rel="noreferrer">http://s</a>; its login'),
        ({}, "2 <bdi>books updated (title 1)</bdi>"),
        ({}, "1 book without files: nothing"),
        ({"undoes": 3}, "It undid pass 3: nothing was migrated."),
        ({"undoes": 3, "deleted": {"ebook": 2}}, "Made by pass 3"),
        (
            {"stays": {"somebody else has rated it": 2}},
            "stays: somebody else has rated",
        ),
    ],
)
def test_what_is_not_there_is_said(change: dict[str, Json], sentence: str) -> None:
    """In words, never as an empty table."""
    assert sentence in render(VALUE | change)


@given(st.lists(st.none() | st.floats(0, 1e9), max_size=50), st.text())
def test_every_chart_is_well_formed(values: list[float | None], title: str) -> None:
    """Whatever the numbers, and whatever the title; XML has no place for control
    characters."""
    title = "".join(letter for letter in title if letter.isprintable())
    drawn = line_chart(
        [START + timedelta(seconds=i) for i in range(len(values))], values, title
    )
    if sum(value is not None for value in values) < 2:
        assert drawn == ""
        return
    root = ET.fromstring(drawn)
    path = root.find("path")
    assert path is not None
    numbers = [float(number) for number in re.findall(r"[\d.]+", path.attrib["d"])]
    assert all(0 <= x <= 720 for x in numbers[::2])
    assert all(0 <= y <= 180 for y in numbers[1::2])
