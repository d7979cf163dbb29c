"""Bytes and text of a script mean the same, or it is not looked at."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auto_monitor.patch import code_edit, source
from auto_monitor.patch.edit_text import EditRefused
from tests.support.monitor.editkit import SOURCE, as_strings

SMALL = b"#!/usr/bin/env python3\n# OK\ndef a():\n    x = 1\n    return x\n"
UTF7 = b"# +AG8AcAAtAHgAKA-\n"

TWO_WAYS = {
    "another encoding": SMALL.replace(b"# OK", b"# -*- coding: utf-7 -*-") + UTF7,
    "in the first line": SMALL.replace(b"python3", b"python3 coding=latin-1"),
    "hidden in a word": SMALL.replace(b"# OK", b"# a decoding: cp037"),
    "one that cannot be": SMALL.replace(b"# OK", b"# coding: no-such"),
    "after a form feed": SMALL.replace(b"# OK", b"\f# coding: utf-7"),
    "in a line of its own kind": b"#\r# coding: utf-7\r" + SMALL,
    "a form feed": SMALL.replace(b"    return", b"\f    return"),
    "a vertical tab": SMALL.replace(b"x = 1", b"x =\v1"),
    "a carriage return": SMALL.replace(b"# OK", b"# OK\rimport os"),
    "one at the end": SMALL + b"\r",
    "two of them": SMALL.replace(b"# OK\n", b"# OK\r\r\n"),
    "NUL": SMALL + b"\0import os\n",
    "NUL in a comment": SMALL.replace(b"# OK", b"# \0"),
    "a byte order mark": b"\xef\xbb\xbf" + SMALL,
    "UTF-16": SMALL.decode().encode("utf-16"),
    "Latin-1": SMALL.replace(b"# OK", b"# \xe9"),
    "half a character": SMALL + b"# \xc3",
    "overlong": SMALL.replace(b"# OK", b"# \xc0\x8aimport os"),
    "a surrogate": SMALL.replace(b"# OK", b"# \xed\xa0\x80"),
    "a line separator": SMALL.replace(b"# OK", "# \u2028import os".encode()),
    "next line": SMALL.replace(b"# OK", "# \x85import os".encode()),
    "right to left": SMALL.replace(b"# OK", "# \u202eko".encode()),
    "nothing to see": SMALL.replace(b"x = 1", "x\u200b = 1".encode()),
    "another alphabet": SMALL.replace(
        b"x = 1", "\uff45\uff56\uff41\uff4c = 1".encode()
    ),
    "a long s": SMALL.replace(b"x = 1", "\u017fet = 1".encode()),
    "end of file": SMALL.replace(b"    return", b"    \x1areturn"),
    "not Python": SMALL + b"def (",
    "never closed": SMALL + b"x = (\n",
    "too long": b"#" * (source.LONGEST + 1),
}


@pytest.mark.parametrize("case", TWO_WAYS)
def test_what_can_be_read_in_two_ways_is_refused(case: str) -> None:
    """Before anything of it is edited."""
    with pytest.raises(EditRefused):
        source.read(TWO_WAYS[case])
    with pytest.raises(EditRefused):
        code_edit.apply(TWO_WAYS[case], as_strings("    x = 1", "    x = 2"))


ONE_WAY = {
    "as shipped": SOURCE.encode(),
    "CRLF": SOURCE.replace("\n", "\r\n").encode(),
    "both": SMALL.replace(b"# OK\n", b"# OK\r\n"),
    "no last newline": SMALL.rstrip(b"\n"),
    "UTF-8, declared": SMALL.replace(b"# OK", b"# -*- coding: utf-8 -*-"),
    "texts in other alphabets": SMALL.replace(
        b"1", "'\u00e9\u4e2d\U0001f600'".encode()
    ),
    "nothing": b"",
}


@pytest.mark.parametrize("case", ONE_WAY)
def test_what_can_be_read_in_one_way(case: str) -> None:
    """Its lines put together again are its bytes."""
    found = source.read(ONE_WAY[case])
    whole = "".join(a + b for a, b in zip(found.lines, found.ends, strict=True))
    assert whole.encode() == ONE_WAY[case]


@pytest.mark.parametrize(
    "line", ["# coding: utf-7", "x = 1  # vim: set fileencoding=utf-7 :", "\fz = 3"]
)
def test_no_edit_makes_such_a_script(line: str) -> None:
    """Nor a comment that any reader might take for a declaration, wherever it is."""
    with pytest.raises(EditRefused):
        code_edit.apply(SMALL, as_strings("    x = 1", f"    x = 2\n    {line}"))


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_refused_or_put_together_again(data: bytes) -> None:
    """In a comment, where everything seems to be allowed."""
    script = b"x = 1\ny = 2\n# " + data + b"\nz = 3\n"
    try:
        found = source.read(script)
    except EditRefused:
        return
    whole = "".join(a + b for a, b in zip(found.lines, found.ends, strict=True))
    assert whole.encode() == script
    assert max(node.lineno for node in found.tree.body) <= len(found.lines)
