"""docs/errors.md: every message the programs print is found there, and each says what
to do."""

import re

import pytest

from tests.conftest import PROJECT
from tests.support.messagekit import (
    HOLE,
    Message,
    Module,
    messages,
    of_shell,
    of_sql,
    required_variables,
)

PAGE = (PROJECT / "docs" / "errors.md").read_text("utf-8")

#: Messages nobody sees, by file and fragment, with the reason. Whatever a person can
#: see does not belong here.
INTERNAL = {
    (
        "migration/lanes/api/reconciling.py",
        "a request may still be running",
    ): "Deferred: caught in `attempt_book`, which says nothing",
    (
        "common/settings/reference.py",
        "no place for the settings",
    ): "a developer's command; it says what is missing",
    (
        "migration/ledger/tables/claims.py",
        "is in flight for book",
    ): "Deferred: caught in `attempt_book`, which says nothing",
    (
        "migration/ledger/tables/claims.py",
        "was in flight in a worker that",
    ): "Deferred: caught in `attempt_book`, which says nothing",
    (
        "migration/model.py",
        "not a SHA-1 and size",
    ): "caught by `server_db` and `verify`, which pass over such a row",
    (
        "migration/model.py",
        "as proof, not",
    ): "says that our own code is wrong; seen only in a traceback to be reported",
    (
        "migration/worker/report.py",
        "unreachable: the last unit",
    ): "cannot happen; it is there for the type checker",
    (
        "bookshelf/connections.py",
        "the answer has begun already",
    ): "ends the connection, as a client that has gone does",
    (
        "auto_monitor/fix_applier.py",
        "or its candidate was changed by",
    ): "NotOurs: `code_fixes.promote` says it in full",
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


def plain(text: str) -> str:
    """The page as it is read: without marks of Markdown, white space as one blank."""
    return " ".join(text.replace("\\|", "|").replace("`", "").replace("**", "").split())


def documented(message: Message) -> bool:
    """Is one of its fragments on the page?"""
    return any(plain(fragment) in plain(PAGE) for fragment in message.fragments)


def exempt(message: Message) -> bool:
    """Is it on the list of messages nobody sees?"""
    return any((message.file, fragment) in INTERNAL for fragment in message.fragments)


def test_every_message_is_found_on_the_page() -> None:
    """In its words: for each that is not, this says where it is told and what to look
    for."""
    found = messages()
    assert len(found) > 400
    page = plain(PAGE)
    missing = [
        str(message)
        for message in found
        if not exempt(message)
        and not any(plain(fragment) in page for fragment in message.fragments)
    ]
    assert not missing, (
        "not in docs/errors.md (give it a row that says why and what to do):\n"
        + "\n".join(missing)
    )


def test_no_exemption_is_stale() -> None:
    """Each is still the message of some place."""
    there = {
        (message.file, fragment)
        for message in messages()
        for fragment in message.fragments
    }
    assert set(INTERNAL) <= there


@pytest.mark.parametrize("text", FOREIGN)
def test_what_other_programs_say_is_there_too(text: str) -> None:
    """Docker's, the server's, the system's words."""
    assert text in plain(PAGE)


def test_every_row_says_what_to_do() -> None:
    """All cells of all tables are filled; tables of messages end with what to do, or
    say that nothing is to be done."""
    heads: list[list[str]] = []
    for line in PAGE.splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if set("".join(cells)) == {"-", " "} or set("".join(cells)) == {"-"}:
            continue
        if cells[0] in (
            "where you saw it",
            "reason",
            "message",
            "what",
            "exit status",
            "cause",
            "what it looks like",
        ):
            heads.append(cells)
            continue
        assert len(cells) == len(heads[-1]), line
        assert all(cells), line
    assert len(heads) >= 13
    asked = [head[-1] for head in heads]
    assert set(asked) == {"what to do", "look here", "what becomes of it"}


def test_every_link_of_the_page_leads_somewhere() -> None:
    """To a heading of this page or of another one."""
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, anchor = target.partition("#")
        text = (PROJECT / "docs" / file).read_text("utf-8") if file else PAGE
        headings = {
            re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("#")
        }
        assert not anchor or anchor in headings, target


# -- the reader of messages ------------------------------------------------------------

SAMPLE = '''
TEXT = "a constant of the module"

class Sad(Exception):
    """Ours."""

def raised(x):
    raise Sad(f"cannot do {x}: it is {'late' if x else 'never too late'}")

def built(x):
    message = f"{x}: {cause(x)}"
    return Sad(message)

def cause(x):
    for sign, meaning in (("a", "the first of reasons"), ("b", "the second of reasons")):
        if sign in x:
            return meaning
    return TEXT

def logged(log, x, error):
    log.warning("Worker %d failed %s", x, error)
    log.info("never seen")
    log.error("%s", error)
    sys.stderr.write(f"{error}\\n")
    sys.stderr.write("to the terminal\\n")
    parser.error("wrong " + "option")
    wrong["title"] = ["must not be empty"]
    problems.append(f"{x} is odd")
    return replace(step, reason="because of that")
'''


def test_messages_are_read_from_every_kind_of_place() -> None:
    """Raised, built, logged, written, collected; what only passes on another text is
    none."""
    module = Module("sample.py", SAMPLE)
    # The classes of a sample are not the project's.
    module.exceptions = module.exceptions | {"Sad"}
    assert {message.template.replace(HOLE, "…") for message in module.messages()} == {
        "cannot do …: it is …",
        "never too late",
        "the first of reasons",
        "the second of reasons",
        "a constant of the module",
        "Worker … failed …",
        "to the terminal\n",
        "wrong option",
        "must not be empty",
        "… is odd",
        "because of that",
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('echo "no $1 here" >&2', ["no … here"]),
        ('  die "cannot read ${file}: $(reason)"', ["cannot read …: …"]),
        ('[ -n "$x" ] || fail "x is missing"', ["x is missing"]),
        ("printf 'bad thing: %s\\n' \"$1\" >&2", ["bad thing: ……"]),
        ('echo "all is well"', []),
        ('# echo "a comment" >&2', []),
        (
            ': "${DATA:?DATA is not set; see .env.example}"',
            ["DATA is not set; see .env.example"],
        ),
    ],
    ids=["stderr", "die", "after a test", "printf", "said", "comment", "required"],
)
def test_messages_of_shell_scripts(line: str, expected: list[str]) -> None:
    """What goes to standard error, and what variables are required with."""
    found = [*of_shell("x.sh", line), *required_variables("x.sh", line)]
    assert [message.template.replace(HOLE, "…") for message in found] == expected


def test_messages_of_sql() -> None:
    """RAISE EXCEPTION, with its doubled quotes."""
    [message] = of_sql(
        "x.sql", "    RAISE EXCEPTION 'it isn''t %', x USING HINT = 'y';"
    )
    assert (message.template, message.line) == (f"it isn't {HOLE}", 1)


@pytest.mark.parametrize(
    ("template", "fragments"),
    [
        ("the file is empty", ("the file is empty",)),
        (f"{HOLE} is not a list", ("is not a list",)),
        (
            f"no password for {HOLE}: set MBS2_PASSWORD in it",
            ("set MBS2_PASSWORD in it", "no password for"),
        ),
        (f"bad {HOLE}: the longer part of it", ("the longer part of it",)),
    ],
    ids=[
        "whole",
        "after a hole",
        "beginning as well",
        "a short beginning does not count",
    ],
)
def test_what_people_look_for(template: str, fragments: tuple[str, ...]) -> None:
    """The longest constant part, or a beginning that says enough."""
    assert Message("x.py", 1, template).fragments == fragments


def test_a_message_that_is_not_documented_is_named_with_its_place() -> None:
    """The test above would fail for it, and say where to look."""
    message = Message("migration/new.py", 7, f"the moon is in the way of {HOLE}")
    assert not documented(message)
    assert not exempt(message)
    assert (
        str(message)
        == "migration/new.py:7: 'the moon is in the way of', of 'the moon is in the way of …'"
    )
