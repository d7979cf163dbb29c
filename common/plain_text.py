"""HTML of books as plain text in paragraphs: nothing of it can run, load or be markup.

Pure and total. Calibre's comments are HTML that came with books; whoever shows the text
still escapes it.
"""

import re
from html import unescape

from common.lazily import nh3
from common.sanitize import sanitize_text

#: The most characters that are read; the rest is cut. Tags nested without end cost the
#: parser time by the square.
MOST = 100_000
#: What is between these is no text.
_HIDDEN = {"script", "style", "title"}
#: What begins a paragraph of its own.
_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        "address article aside blockquote center dd details div dl dt fieldset "
        "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p "
        "pre section summary table tr ul",
    )
)
_KEPT = {*_BLOCKS, "br", "td", "th"}
_MARKUP = re.compile(r"</?[a-zA-Z]|&[#a-zA-Z]|<!")
#: A tag of nh3, which leaves no other `<` and no attribute.
_TAG = re.compile(r"<(/?)([a-z0-9]+)>")
_BLANK_LINES = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")
_BULLET = "• "


def paragraphs(html: str) -> list[str]:
    """Returns the text of HTML, or of plain text, as paragraphs.

    A line break stays one (`\\n`); other white space is one blank.
    """
    text = sanitize_text(html[:MOST], multiline=True)
    if not _MARKUP.search(text):
        # Plain text: its own line ends count.
        return _clean(_BLANK_LINES.split(text))
    tidy = nh3.clean(
        text, tags=_KEPT, clean_content_tags=_HIDDEN, attributes={}, link_rel=None
    )
    found = [""]
    end = 0
    for tag in _TAG.finditer(tidy):
        found[-1] += _one_line(tidy[end : tag.start()])
        _break(found, tag[2], closing=bool(tag[1]))
        end = tag.end()
    found[-1] += _one_line(tidy[end:])
    return _clean(found)


def plain_text(html: str) -> str:
    """Returns the text of HTML; a blank line separates paragraphs."""
    return "\n\n".join(paragraphs(html))


def _break(found: list[str], tag: str, *, closing: bool) -> None:
    """Ends the line or the paragraph, as the tag says."""
    if tag == "br":
        found[-1] += "\n"
    elif tag in ("td", "th"):
        found[-1] += " "
    elif tag == "li" and not closing:
        found.append(_BULLET)
    elif closing or found[-1] != _BULLET:
        # The text of an item may be in a paragraph of its own: its bullet stays.
        found.append("")


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", unescape(text))


def _clean(found: list[str]) -> list[str]:
    cleaned = []
    for paragraph in found:
        lines = [sanitize_text(line) for line in paragraph.split("\n")]
        text = "\n".join(lines).strip()
        if text not in ("", _BULLET.strip()):
            cleaned.append(text)
    return cleaned
