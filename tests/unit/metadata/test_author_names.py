"""First and last names out of a name and its sort, as Calibre makes one of the other."""

import pytest

from migration.metadata.author_names import split
from migration.model import Author, PersonName


@pytest.mark.parametrize(
    ("name", "sort", "last", "first"),
    [
        ("Jane Doe", "Doe, Jane", "Doe", "Jane"),
        ("Jane Doe", "", "Doe", "Jane"),
        ("  Jane Doe ", " Doe, Jane ", "Doe", "Jane"),
        ("Jane Mary Doe", "", "Doe", "Jane Mary"),
        ("Plato", "Plato", "Plato", ""),
        ("Plato", "", "Plato", ""),
        ("", "", "Unknown", ""),
        # nocomma and copy.
        ("Jane Doe", "Doe Jane", "Doe", "Jane"),
        ("Jane Doe", "Jane Doe", "Jane Doe", ""),
        # Prefixes go, suffixes stay behind the first name.
        ("Dr. Jane Doe", "", "Doe", "Jane"),
        ("Prof Dr Jane Doe", "", "Doe", "Jane"),
        ("John Smith Jr.", "", "Smith", "John Jr."),
        ("John Smith PhD III", "", "Smith", "John PhD III"),
        ("Dr. Jr.", "", "Dr. Jr.", ""),
        ("Dr. Doe", "", "Doe", ""),
        # Names with a comma of their own.
        ("Doe, Jane", "Doe, Jane", "Doe", "Jane"),
        ("Doe, Jane", "", "Doe", "Jane"),
        ("Doe, Jane, Jr.", "Doe, Jane, Jr.", "Doe", "Jane Jr."),
        ("Doe,, Jane", "", "Doe", "Jane"),
        ("John Smith, Jr.", "", "Smith", "John Jr."),
        ("Smith, Jr.", "", "Smith", "Jr."),
        ("Acme, Inc.", "", "Acme, Inc.", ""),
        (", Jane Doe", "", "Doe", "Jane"),
        # Organisations.
        ("National Geographic Society", "", "National Geographic Society", ""),
        ("Acme Company", "", "Acme Company", ""),
        # Particles count where the sort says so.
        ("Ludwig van Beethoven", "van Beethoven Ludwig", "van Beethoven", "Ludwig"),
        ("Ludwig van Beethoven", "Beethoven Ludwig van", "Beethoven", "Ludwig van"),
        ("van Beethoven", "van Beethoven", "van Beethoven", ""),
        # Brackets hide what is in them.
        ("Jane (ed.) Doe", "", "Doe", "Jane"),
        ("Jane Doe (ed. [x)", "", "Doe", "Jane"),
        ("Jane {x} [y] Doe", "", "Doe", "Jane"),
        # A sort that is another name is one part.
        ("Jane Doe", "Somebody Else", "Somebody Else", ""),
        ("Jane Doe", "Else, Somebody", "Else", "Somebody"),
    ],
)
def test_a_name_is_split(name: str, sort: str, last: str, first: str) -> None:
    """As Calibre sorts it."""
    assert split(Author(name, sort)) == PersonName(last, first)
