"""Edits by an LLM: the right ones change what they name, the others nothing."""

import ast
import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auto_monitor.patch import code_edit
from auto_monitor.patch.code_edit import EditRefused
from tests.support.monitor.editkit import (
    SOURCE,
    as_diff,
    as_function,
    as_strings,
    fenced,
    functions,
)

FUNCTIONS = functions()


def apply(script: str, reply: str) -> str:
    """The script after the edit, as text."""
    return code_edit.apply(script.encode(), reply).decode()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_put_on_itself_changes_no_byte(name: str) -> None:
    """In each of the three formats."""
    text = FUNCTIONS[name]
    removed_and_added = [f"-{line}" for line in text.split("\n")] + [
        f"+{line}" for line in text.split("\n")
    ]
    assert apply(SOURCE, as_function(text)) == SOURCE
    assert apply(SOURCE, as_strings(text, text)) == SOURCE
    assert (
        apply(SOURCE, fenced("\n".join(["@@ -1 +1 @@", *removed_and_added]), "diff"))
        == SOURCE
    )


def machine_made(chance: random.Random) -> tuple[str, str, str]:
    """One function, before and after a correct change in the middle of it; and the
    whole script after it."""
    name = chance.choice(list(FUNCTIONS))
    old = FUNCTIONS[name]
    node = ast.parse(old if not old.startswith(" ") else "if 1:\n" + old).body[0]
    shift = 1 if old.startswith(" ") else 0
    function = node.body[0] if isinstance(node, ast.If) else node
    assert isinstance(function, ast.FunctionDef)
    lines = old.split("\n")
    statement = chance.choice(function.body[1:] or function.body)
    place = statement.lineno - 1 - shift
    line = (
        " " * statement.col_offset
        + f"changed_{chance.randrange(10**6)} = {chance.randrange(100)}"
    )
    new = "\n".join([*lines[:place], line, *lines[place:]])
    return old, new, SOURCE.replace(old, new)


@pytest.mark.parametrize("seed", range(3))
def test_correct_edits_are_all_applied_right(seed: int) -> None:
    """Three hundred machine-made ones, in turn in the three formats."""
    chance = random.Random(seed)
    for number in range(100):
        old, new, wanted = machine_made(chance)
        replies = [as_function(new), as_strings(old, new), as_diff(SOURCE, wanted)]
        assert apply(SOURCE, replies[number % 3]) == wanted


def crlf(reply: str, _chance: random.Random) -> str:
    """As from Windows."""
    return reply.replace("\n", "\r\n")


def indented(reply: str, chance: random.Random) -> str:
    """All of it moved to the right, the fence too."""
    columns = chance.choice([1, 2, 4, 8])
    return "\n".join(
        " " * columns + line if line else line for line in reply.split("\n")
    )


def inside_indented(reply: str, chance: random.Random) -> str:
    """The code moved, the fence not."""
    lines = reply.rstrip("\n").split("\n")
    return "\n".join(
        [
            lines[0],
            *(" " * 4 + line if line else line for line in lines[1:-1]),
            lines[-1],
            "",
        ]
    )


def no_last_newline(reply: str, _chance: random.Random) -> str:
    """Ends with the fence."""
    return reply.rstrip("\n")


def no_closing_fence(reply: str, _chance: random.Random) -> str:
    """Ends with the code."""
    return reply.rstrip("\n").removesuffix("```")


def prose(reply: str, _chance: random.Random) -> str:
    """Says what it does, before and after."""
    return (
        f"The cursor did not move. I changed that:\n\n{reply}\nThis keeps "
        "everything else as it is.\n"
    )


RECOVERABLE = [
    crlf,
    indented,
    inside_indented,
    no_last_newline,
    no_closing_fence,
    prose,
]


def cut_off(reply: str, chance: random.Random) -> str:
    """Ends in the middle."""
    lines = reply.rstrip("\n").split("\n")
    return "\n".join(lines[: chance.randrange(2, len(lines) - 1)])


def twice(reply: str, _chance: random.Random) -> str:
    """Two blocks."""
    return reply + reply


def tabs(reply: str, _chance: random.Random) -> str:
    """Indented with tabs."""
    return reply.replace("    ", "\t")


def invisible(reply: str, chance: random.Random) -> str:
    """With a character nobody sees."""
    lines = reply.split("\n")
    place = chance.randrange(1, len(lines) - 2)
    return "\n".join(
        [
            *lines[:place],
            lines[place] + chance.choice("\u202e\u200b\x00\u2028\ufeff"),
            *lines[place + 1 :],
        ]
    )


def lazy(reply: str, chance: random.Random) -> str:
    """Leaves something out and says so."""
    lines = reply.split("\n")
    place = chance.randrange(3, max(4, len(lines) - 3))
    return "\n".join(
        [*lines[:place], "        # ... existing code ...", *lines[place + 1 :]]
    )


def unbalanced(reply: str, chance: random.Random) -> str:
    """With a bracket too many, where it is code and no text."""
    lines = reply.split("\n")
    code = re.compile(r"[ +-]*(?:if|for|while|with|return|raise|def|self\.)\b.*[:)]$")
    places = [n for n, line in enumerate(lines) if code.match(line)]
    if not places:
        # A short diff may show no such line.
        return cut_off(reply, chance)
    place = chance.choice(places)
    return "\n".join([*lines[:place], lines[place] + " (", *lines[place + 1 :]])


def other_name(reply: str, _chance: random.Random) -> str:
    """Of something that is not there."""
    return reply.replace("def ", "def not_", 1).replace("self", "itself", 3)


HOPELESS = [cut_off, twice, tabs, invisible, lazy, unbalanced, other_name]


@pytest.mark.parametrize("seed", range(4))
def test_five_hundred_mutated_replies(seed: int) -> None:
    """None is applied wrongly; of those that can be read in one way only, nearly all
    are applied."""
    chance = random.Random(seed)
    wrong, recoverable, recovered, applied = [], 0, 0, 0
    mutations: list[Callable[[str, random.Random], str]] = [*RECOVERABLE, *HOPELESS]
    for number in range(130):
        old, new, wanted = machine_made(chance)
        kind = number % 3
        reply = [as_function(new), as_strings(old, new), as_diff(SOURCE, wanted)][kind]
        mutate = mutations[number % len(mutations)]
        recoverable += mutate in RECOVERABLE
        try:
            result = apply(SOURCE, mutate(reply, chance))
        except EditRefused as refusal:
            assert len(str(refusal)) < 4_000
            continue
        applied += 1
        recovered += mutate in RECOVERABLE
        if result != wanted:
            wrong.append((mutate.__name__, kind, reply))
    print(
        f"{applied} applied, {recovered} of {recoverable} recoverable, {len(wrong)} wrong"
    )
    assert [(name, kind) for name, kind, _reply in wrong] == []
    assert recovered >= 0.95 * recoverable


SMALL = "def a():\n    x = 1\n    y = 2\n\n\ndef b():\n    x = 1\n    z = 3\n"
REFUSED = {
    "occurs twice": (as_strings("    x = 1", "    x = 2"), "occur 2 times"),
    "occurs nowhere": (as_strings("    x = 7", "    x = 2"), "nearest are\n    x = 1"),
    "no old lines": (fenced("old_string:\nnew_string:\nx = 1"), "old_string: is empty"),
    "only old": (fenced("old_string:\nx = 1"), "exactly one line old_string:"),
    "a hunk without context": (fenced("@@ @@\n+    q = 1", "diff"), "neither context"),
    "overlapping hunks": (
        fenced("@@ @@\n     y = 2\n+    q = 1\n@@ @@\n-    y = 2\n+    y = 3", "diff"),
        "same lines",
    ),
    "another file too": (
        fenced(
            "@@ @@\n-    y = 2\n+    y = 3\n--- a/x.py\n+++ b/x.py\n@@ @@\n-q\n+r",
            "diff",
        ),
        "one file",
    ),
    "not a line of a diff": (
        fenced("@@ @@\n-    y = 2\nthen this", "diff"),
        "not a line of a diff",
    ),
    "unknown function": (
        fenced("def aa():\n    x = 2"),
        "0 functions named 'aa'; nearest: a",
    ),
    "one function in two ways": (
        fenced("def a():\n    x = 2\n\ndef a():\n    x = 3"),
        "same lines",
    ),
    "in two blocks": (
        fenced("def a():\n    x = 2") + fenced("def a():\n    x = 3"),
        "same lines",
    ),
    "a function and a line": (
        fenced("def a():\n    x = 2\n\ny = 2"),
        "give only whole functions",
    ),
    "two blocks that explain": (
        fenced("it hangs", "") + fenced("so it does", ""),
        "none is an edit",
    ),
    "a class": (fenced("class A:\n    pass"), "give only whole functions"),
    "not Python": (fenced("def a(:\n    x = 2"), "not valid Python: line 1"),
    "result is not Python": (
        as_strings("    y = 2", "    y = (2"),
        "with this edit the script is not valid",
    ),
    "nothing": ("", "the block is empty"),
    "prose only": ("I would restart it.", "there is no function"),
    "an ellipsis for a body": (
        fenced("def a():\n    x = 1\n    ..."),
        "stands for code",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_why(case: str) -> None:
    """With words the LLM can act on."""
    reply, reason = REFUSED[case]
    with pytest.raises(EditRefused) as refusal:
        apply(SMALL, reply)
    assert reason in str(refusal.value)


def test_line_ends_of_the_script_stay() -> None:
    """A script with CRLF keeps it in every line, one with both keeps both."""
    assert apply(
        SMALL.replace("\n", "\r\n"), as_strings("    y = 2", "    y = 5")
    ) == SMALL.replace("y = 2", "y = 5").replace("\n", "\r\n")
    both = SMALL.replace("y = 2\n", "y = 2\r\n")
    assert apply(both, as_strings("    z = 3", "    z = 5")) == both.replace(
        "z = 3", "z = 5"
    )
    assert apply(both, as_strings("    y = 2", "    y = 5")) == both.replace(
        "y = 2", "y = 5"
    )


A, B = "def a():\n    x = 9\n    y = 2", "def b():\n    x = 9\n    z = 3"
BOTH = SMALL.replace("x = 1", "x = 9")
IN_CLASS = "class C:\n" + "\n".join(
    f"    {line}" if line else "" for line in SMALL.splitlines()
)
ECHOED = {
    "several functions": (SMALL, fenced(f"{A}\n\n{B}"), BOTH),
    "in several blocks": (SMALL, fenced(A) + "and\n" + fenced(B), BOTH),
    "the old one beside the new one": (
        SMALL,
        fenced(SMALL.split("\n\n\n")[0]) + fenced(A),
        SMALL.replace("x = 1", "x = 9", 1),
    ),
    "twice the same": (
        SMALL,
        fenced(A) + fenced(A),
        SMALL.replace("x = 1", "x = 9", 1),
    ),
    "an explanation beside it": (
        SMALL,
        fenced("The loop never ends:\n  x is always 1", "") + fenced(A),
        SMALL.replace("x = 1", "x = 9", 1),
    ),
    "with line numbers": (
        SMALL,
        fenced("  9 | def a():\n 10 |     x = 9\n 11 |     y = 2"),
        SMALL.replace("x = 1", "x = 9", 1),
    ),
    "with numbers and nothing else": (
        SMALL,
        fenced("  9 def a():\n 10     x = 9\n 11     y = 2"),
        SMALL.replace("x = 1", "x = 9", 1),
    ),
    "with numbers and tabs": (
        SMALL,
        fenced("9\tdef a():\n10\t    x = 9\n11\t    y = 2"),
        SMALL.replace("x = 1", "x = 9", 1),
    ),
    "numbers in old and new lines": (
        SMALL,
        as_strings("2:     x = 1\n3:     y = 2", "2:     x = 9\n3:     y = 2"),
        SMALL.replace("x = 1", "x = 9", 1),
    ),
    "the class around it": (
        IN_CLASS,
        fenced("class C:\n    def a():\n        x = 9\n        y = 2"),
        IN_CLASS.replace("x = 1", "x = 9", 1),
    ),
    "the first line at the margin": (
        IN_CLASS,
        fenced("def a():\n        x = 9\n        y = 2"),
        IN_CLASS.replace("x = 1", "x = 9", 1),
    ),
    "the body deeper than in the script": (
        SMALL,
        fenced("def a():\n        x = 9\n        y = 2"),
        SMALL.replace("    x = 1\n    y = 2", "        x = 9\n        y = 2"),
    ),
    "a comment about the rest": (
        SMALL,
        fenced("def a():\n    # the rest of the books\n    x = 9\n    y = 2"),
        SMALL.replace("    x = 1", "    # the rest of the books\n    x = 9", 1),
    ),
}


@pytest.mark.parametrize("case", ECHOED)
def test_the_answer_may_echo_the_source_as_it_was_shown(case: str) -> None:
    """Where it is clear what is meant."""
    script, reply, wanted = ECHOED[case]
    assert apply(script, reply) == wanted


def test_a_decorated_function_with_its_first_line_at_the_margin() -> None:
    """The decorator, then, and only it."""
    text = FUNCTIONS["sanitize_filename"]
    assert apply(SOURCE, as_function(text.strip())) == SOURCE


@given(st.data(), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=60, deadline=None)
def test_no_byte_outside_the_changed_function_moves(
    data: st.DataObject, end: str
) -> None:
    """Whatever stands in the changed one, in all three formats."""
    name = data.draw(st.sampled_from(sorted(FUNCTIONS)))
    word = data.draw(st.text(min_size=1, max_size=20).filter(str.isprintable))
    old = FUNCTIONS[name]
    new = f"{old}\n{' ' * (len(old) - len(old.lstrip()) + 4)}word = {word!r}"
    script = SOURCE.replace("\n", end).encode()
    kind = data.draw(st.integers(0, 2))
    reply = [
        as_function(new),
        as_strings(old, new),
        as_diff(SOURCE, SOURCE.replace(old, new)),
    ][kind]
    at = script.index(old.replace("\n", end).encode())
    after = at + len(old.replace("\n", end).encode())
    result = code_edit.apply(script, reply)
    assert result[:at] == script[:at]
    assert result[at:] == new.replace("\n", end).encode() + script[after:]


@given(st.text(max_size=300), st.text(max_size=100))
def test_no_text_does_anything_but_be_applied_or_refused(reply: str, more: str) -> None:
    """Whatever an LLM may say."""
    for text in (
        reply,
        fenced(reply),
        fenced(f"old_string:\n{reply}\nnew_string:\n{more}"),
        fenced(f"@@ @@\n{reply}"),
    ):
        try:
            result = apply(SMALL, text)
        except EditRefused:
            continue
        ast.parse(result)
