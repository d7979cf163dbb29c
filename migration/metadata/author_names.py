"""First and last name from an author's name and sort. Pure.

Calibre computes the sort from the name. Its preference `author_sort_copy_method`
decides what `authors.sort` holds: `comma` (the default) and `invert` turn `John Smith`
into `Smith, John`, `nocomma` into `Smith John`, and `copy` repeats the name. The words
below are Calibre's defaults.
"""

from migration.model import Author, PersonName

#: Prefixes are left out; suffixes are kept behind the first name.
_PREFIXES = frozenset({"mr", "mrs", "ms", "dr", "prof"})
_SUFFIXES = frozenset(
    {
        "jr",
        "sr",
        "inc",
        "ph.d",
        "phd",
        "md",
        "m.d",
        "i",
        "ii",
        "iii",
        "iv",
        "junior",
        "senior",
    }
)
#: A name with one of these words is an organisation's, in one part.
_ORGANISATIONS = frozenset(
    {
        "agency",
        "corporation",
        "company",
        "co.",
        "council",
        "committee",
        "inc.",
        "institute",
        "national",
        "society",
        "club",
        "team",
    }
)
#: These belong to the last name where Calibre's `author_use_surname_prefixes` is on.
_PARTICLES = frozenset({"da", "de", "di", "la", "le", "van", "von"})
_BRACKETS = {"(": ")", "[": "]", "{": "}"}


def split(author: Author) -> PersonName:
    """Returns first and last name.

    A sort with a comma decides; one without is a name of one part (Plato, an
    organisation). An empty `sort` means that none was given: then the name is split as
    Calibre's default would.
    """
    name, sort = author.name.strip(), author.sort.strip()
    turned = _turned(name)
    if "," in name and sort.replace(",", "") in (
        "",
        name.replace(",", ""),
        _rotated(name),
    ):
        # Calibre copies a name that already has a comma, or rotates it once more.
        return _at_comma(name)
    if not sort:
        return turned
    if "," in sort:
        return _at_comma(sort)
    if sort != name:
        for person in (turned, _turned(name, particles=True)):
            if sort == _joined(person):
                return person
    return _whole(sort)


def _at_comma(text: str) -> PersonName:
    """Splits at commas: `Doe, Jane, Jr.` is Jane Jr. Doe, `Acme, Inc.` is one name.

    `John Smith, Jr.` is John Jr. Smith.
    """
    last, *rest = (part.strip() for part in text.split(","))
    more = " ".join(part for part in rest if part)
    if any(_bare(word) == "inc" for word in more.split()):
        return _whole(text)
    if last and all(_bare(word) in _SUFFIXES for word in more.split()):
        head = _turned(f"{last} {more}")
        return head if " " in last else PersonName(last, more)
    return PersonName(last, more) if last else _turned(more)


def _turned(name: str, *, particles: bool = False) -> PersonName:
    """Takes the last word that is not a suffix as the last name.

    Prefixes such as `Dr.` are dropped, as in Calibre.
    """
    words = _without_brackets(name).split()
    if len(words) < 2 or _ORGANISATIONS & {word.lower() for word in words}:
        return _whole(name)
    if particles and len(words) == 2 and words[0].lower() in _PARTICLES:
        return _whole(name)
    begin, end = 0, len(words)
    while begin < end and _bare(words[begin]) in _PREFIXES:
        begin += 1
    while begin < end and _bare(words[end - 1]) in _SUFFIXES:
        end -= 1
    if begin == end:
        return _whole(name)
    last = end - 1
    if particles and last > begin and words[last - 1].lower() in _PARTICLES:
        last -= 1
    return PersonName(
        " ".join(words[last:end]), " ".join(words[begin:last] + words[end:])
    )


def _rotated(name: str) -> str:
    """Returns what `invert` and `nocomma` make of a name with a comma."""
    return _joined(_turned(name)).replace(",", "")


def _joined(person: PersonName) -> str:
    return f"{person.last} {person.first}".strip()


def _whole(name: str) -> PersonName:
    return PersonName(name or "Unknown")


def _bare(word: str) -> str:
    return word.lower().removesuffix(".")


def _without_brackets(name: str) -> str:
    """Returns the name without bracketed parts; an unclosed bracket hides the rest."""
    kept: list[str] = []
    waiting: list[str] = []
    for sign in name:
        if sign in _BRACKETS:
            waiting.append(_BRACKETS[sign])
        elif sign in _BRACKETS.values():
            if sign in waiting:
                waiting.remove(sign)
        elif not waiting:
            kept.append(sign)
    return "".join(kept)
