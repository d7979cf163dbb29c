"""docs/errors.md: written from one catalogue, which explains every error by its code."""

import importlib
import pkgutil
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import common.errors
from common.errors import CodedError, catalogue, told, with_code
from common.errors.__main__ import PAGE, main
from common.errors.catalogue import Message
from common.errors.page import explained, page
from tests.support.environment import PROJECT

PACKAGES = ("common", "migration", "bookshelf", "auto_monitor", "dashboard", "deploy")
#: Classes that say only what the caller must do; nobody raises them themselves.
ROOTS = {
    "CodedError",
    "MigrationError",
    "Transient",
    "Rejected",
    "Fatal",
    "OutOfResources",
}
#: Exceptions that no person meets, and why.
INTERNAL = {
    "Unusable": "becomes a line of WrongSetting",
    "_Refused": "check_env runs without our packages; it says wrong-setting by hand",
    "AttachedElsewhere": "the lane takes the file for a duplicate",
    "AuditBroke": "the pass is closed as `not audited`",
    "BadJournal": "the ledger says LedgerCorrupt",
    "BadPicture": "the embedded server shows no cover then, or says TaskError",
    "EditRefused": "FixRefused says its words",
    "Interrupted": "a start is ended by Ctrl-C, and says so",
    "HostBroke": "the direct lane starts its process again, or sends by the API",
    "Incomparable": "the verdict waits, or is inconclusive",
    "NeedsRecovery": "the library is copied and recovered",
    "NotOurs": "`code_fixes` says it in full",
    "NotPassed": "FixRefused says its words",
    "ReleaseMissing": "ScriptUnusable says its words",
    "Stopping": "ends a thread after a signal",
    "Unauthorized": "the client says LoginRefused, or logs in again",
    "_Overdue": "ResponseLost says its words",
    "_Unsafe": "such an EPUB has no metadata for the embedded server",
}

#: What other programs say about a migration's troubles: promised to be on the page.
FOREIGN = (
    "file too big",
    "ebook-meta: not found",
    "A string literal cannot contain NUL (0x00) characters",
    "connection refused",
    "port is already allocated",
    "No module named 'distutils'",
    "volumes must be a mapping",
    "progress file that cannot be saved",
    "the disk is saturated",
    "the LLM's server refused",
    "the attribute 'version' is obsolete",
    "No space left on device",
    "libgl1-mesa-glx",
    "/usr/bin/soffice",
    "is missing a value",
    "OOMKilled",
)

#: So many words in a row of a sentence must stand in the sources, one less of a short one.
WORDS = 3


def modules() -> list[ModuleType]:
    """All of the programs, imported."""
    found = [importlib.import_module("bulk_migrate_calibre")]
    for name in PACKAGES:
        package = importlib.import_module(name)
        found += [
            importlib.import_module(module.name)
            for module in pkgutil.walk_packages(package.__path__, f"{name}.")
            if not module.name.endswith("__main__") or name == "dashboard"
        ]
    return found


@cache
def exceptions() -> tuple[type[BaseException], ...]:
    """Every exception class the programs define, by name."""
    found = {
        value
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, BaseException)
        and value.__module__ == module.__name__
    }
    return tuple(sorted(found, key=lambda one: (one.__name__, one.__module__)))


def coded() -> list[type[CodedError]]:
    """Those with a code."""
    return [
        one
        for one in exceptions()
        if issubclass(one, CodedError) and one.__name__ not in {*ROOTS, *INTERNAL}
    ]


def plain(text: str) -> str:
    """As it is read: without marks of Markdown, white space as one blank."""
    return " ".join(text.replace("\\|", "|").replace("`", "").replace("**", "").split())


def test_the_page_is_what_the_catalogue_says() -> None:
    """`python -m common.errors` writes it."""
    assert PAGE.read_text("utf-8") == page(catalogue.sections())
    assert PAGE == PROJECT / "docs" / "errors.md"


def test_every_error_has_a_code_or_nobody_meets_it() -> None:
    """A new class is explained in the catalogue, or enters the list with a reason."""
    without = {one.__name__ for one in exceptions() if not getattr(one, "code", "")}
    assert without == ROOTS | set(INTERNAL)


def test_every_code_has_one_entry() -> None:
    """With the exit status of its class, and for a failed file the word of the ledger."""
    for error in coded():
        [entry] = [one for one in catalogue.entries() if one.code == error.code]
        status = getattr(error, "exit_code", None)
        assert status is None or int(status) in entry.exits, error
        assert entry.reason == getattr(error, "reason", ""), error


def test_every_entry_is_whole_and_used() -> None:
    """By a class, or by a sentence that is said with the code."""
    codes = {error.code for error in coded()}
    for entry in catalogue.entries():
        assert re.fullmatch("[a-z]+(-[a-z]+)*", entry.code)
        assert entry.title and entry.why and entry.do
        assert entry.code in codes or f'"{entry.code}"' in sources(), entry.code


@cache
def sources() -> str:
    """All that the programs are made of, texts over several lines joined."""
    suffixes = {".py", ".sh", ".sql", ".yml", ".html", ".js", ".conf"}
    files = [*PROJECT.glob("*.py"), *PROJECT.glob("*.sh"), *PROJECT.glob("*.yml")]
    for name in PACKAGES:
        files += [
            path
            for path in sorted((PROJECT / name).rglob("*"))
            if path.suffix in suffixes or path.name.startswith("Dockerfile")
        ]
    return "\n".join(_joined(path) for path in files)


def _joined(path: Path) -> str:
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        text = re.sub(r"""["'][ ]*\n\s*[frb]{0,2}["']""", "", text)
    if path.suffix == ".sql":
        text = text.replace("''", "'")
    return plain(text.replace("\\", ""))


def said_here(sentence: str) -> bool:
    """Do some words of it, in a row, stand in the sources?"""
    parts = (part.strip(" :;,.()'\"|$/%=+-") for part in sentence.split("…"))
    longest = max(parts, key=len).replace("\\", "").split()
    width = WORDS if len(longest) > 2 * WORDS else WORDS - 1
    rows = range(max(1, len(longest) - width + 1))
    return any(" ".join(longest[at : at + width]) in sources() for at in rows)


def sentences() -> list[tuple[str, str]]:
    """What the page says that these programs say, with the title above it."""
    found: list[tuple[str, Message]] = []
    for section in catalogue.sections():
        ours = [one for entry in section.entries for one in entry.messages]
        found += [(section.title, one) for one in (*ours, *section.notices)]
    return [
        (title, sentence)
        for title, message in found
        if message.ours
        for sentence in re.findall(r"`([^`]+)`", message.says)
    ]


def test_no_sentence_is_stale() -> None:
    """Each is still said somewhere; those of other programs are marked `ours = false`."""
    assert len(sentences()) > 500
    assert [one for one in sentences() if not said_here(one[1])] == []


@pytest.mark.parametrize("text", FOREIGN)
def test_what_other_programs_say_is_there_too(text: str) -> None:
    """Docker's, the server's, the system's words."""
    assert text in plain(PAGE.read_text("utf-8"))


def test_every_row_says_what_to_do() -> None:
    """All cells are filled; a table of notices ends with what to do."""
    for section in catalogue.sections():
        assert section.columns[-1] in ("what to do", "look here", "what becomes of it")
        for notice in section.notices:
            said = [text for text in (notice.says, notice.why, notice.do) if text]
            assert len(said) == len(section.columns), notice


def test_every_link_of_the_page_leads_somewhere() -> None:
    """To a heading of this page or of another one."""
    text = PAGE.read_text("utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        there = (PROJECT / "docs" / file).read_text("utf-8") if file else text
        headings = {
            re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in there.splitlines()
            if line.startswith("#")
        }
        assert not anchor or anchor in headings, target


class Sad(CodedError):
    """An error of this test."""

    code = "sad-day"


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("it rains", "it rains [sad-day]"),
        ("several; name one:\n  a\n  b", "several; name one: [sad-day]\n  a\n  b"),
        (
            "it did not start: it rains [bad-weather]",
            "it did not start: it rains [bad-weather]",
        ),
        ("it said [1]", "it said [1] [sad-day]"),
    ],
    ids=["a line", "several lines", "it has one", "other brackets"],
)
def test_a_sentence_with_its_code(sentence: str, expected: str) -> None:
    """Behind the first line, and only one."""
    assert told(Sad(sentence)) == expected
    assert with_code(sentence, "sad-day") == expected


def test_other_errors_have_no_code() -> None:
    """They are told as they are."""
    assert told(OSError("it rains")) == "it rains"


def test_a_code_is_explained_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With or without its brackets; without marks of Markdown."""
    entry = catalogue.find("ledger-damaged")
    assert entry is not None
    monkeypatch.setattr("sys.argv", ["errors", "[ledger-damaged]"])
    assert main() == 0
    said = capsys.readouterr().out
    assert said == explained(entry)
    assert said.startswith("ledger-damaged: ") and "`" not in said


def test_an_unknown_code_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says where all of them are."""
    monkeypatch.setattr("sys.argv", ["errors", "no-such-code"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "docs/errors.md has all" in capsys.readouterr().err


def test_check_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It says that the page is not up to date, and ends with 1."""
    stale = tmp_path / "errors.md"
    stale.write_text("old", "utf-8")
    monkeypatch.setattr(common.errors.__main__, "PAGE", stale)
    monkeypatch.setattr("sys.argv", ["errors", "--check"])
    assert main() == 1
    assert stale.read_text("utf-8") == "old"
    assert capsys.readouterr().out == "errors.md is not up to date\n"
