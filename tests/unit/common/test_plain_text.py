"""HTML of comments as text: tables for what Calibre holds, properties for everything
else."""

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.plain_text import MOST, paragraphs, plain_text


@pytest.mark.parametrize(
    ("html", "found"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("one\ntwo\n\n three ", ["one\ntwo", "three"], id="plain text"),
        pytest.param("2 < 3 > 1 AT&T", ["2 < 3 > 1 AT&T"], id="text with signs"),
        pytest.param("<p>a</p><p>b</p>", ["a", "b"], id="paragraphs"),
        pytest.param("<div><p>a\n b</p></div>c", ["a b", "c"], id="blocks"),
        pytest.param("<p>a<br>b<br/>c</p>", ["a\nb\nc"], id="line breaks"),
        pytest.param("<b>a</b> <i>b</i>c", ["a bc"], id="markup of words"),
        pytest.param("<p>&lt;b&gt; &amp; &eacute;", ["<b> & é"], id="entities"),
        pytest.param("&amp;lt;p&amp;gt;", ["&lt;p&gt;"], id="entities of entities"),
        pytest.param(
            "<ul><li>a</li><li><p>b</p></li></ul>c", ["• a", "• b", "c"], id="items"
        ),
        pytest.param("<ul><li></li></ul>", [], id="an empty item"),
        pytest.param("<table><tr><td>a<td>b</table>", ["a b"], id="cells"),
        pytest.param("a<script>alert(1)</script>b", ["ab"], id="a script"),
        pytest.param("a<script>alert(1)", ["a"], id="a script without end"),
        pytest.param("<style>p{}</style>a<title>t</title>", ["a"], id="styles"),
        pytest.param('<img src="http://x/y.png" onerror=z>a', ["a"], id="a picture"),
        pytest.param('<a href="javascript:x">link</a>', ["link"], id="a link"),
        pytest.param("a<!-- b --><![if !x]>c<![endif]>", ["ac"], id="comments"),
        pytest.param("a\ud800\x00b<br>", ["ab"], id="what no text can hold"),
    ],
)
def test_what_is_left_of_html(html: str, found: list[str]) -> None:
    """Text, paragraph by paragraph."""
    assert paragraphs(html) == found


_PIECES = st.sampled_from(
    [
        "<p>",
        "</p>",
        "<script>",
        "</script>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<li>",
        "<br>",
        '<a href="',
        "&lt;",
        "&#60;script&#62;",
        "<",
        ">",
        '"',
        "\n",
        "<math><mtext><table><mglyph><style>",
    ]
)
_HTML = st.lists(_PIECES | st.text(string.printable, max_size=8), max_size=30)


@given(_HTML.map("".join) | st.text(st.characters(exclude_categories=()), max_size=200))
@example("<scr<script>ipt>alert(1)</scr</script>ipt>")
def test_whatever_comes_is_text(html: str) -> None:
    """Every paragraph is clean, none is empty, and nothing is longer than what came but
    for bullets; text stays what it is when it is read as HTML again, escaped."""
    found = paragraphs(html)
    for paragraph in found:
        assert paragraph == paragraph.strip() != ""
        assert not re.search(r"[\x00-\x08\x0e-\x1f\ud800-\udfff\u202e]", paragraph)
        assert "  " not in paragraph
    assert plain_text(html) == "\n\n".join(found)
    plain_length = sum(len(paragraph) for paragraph in found)
    assert plain_length <= len(html) + 2 * html.count("<li")


@given(st.text(string.ascii_letters + " <>&\"'", max_size=60))
def test_escaped_text_comes_back(text: str) -> None:
    """Whatever it looks like."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert paragraphs(f"<p>{escaped}</p>") == (
        [" ".join(text.split())] * bool(text.strip())
    )


def test_no_more_is_read_than_is_safe() -> None:
    """Tags nested without end are cut."""
    assert paragraphs("<br>" * MOST + "late") == []
    assert len(plain_text("x" * (2 * MOST))) == MOST
