"""What differs from the database that the direct lane knows."""

from dataclasses import replace

import pytest

from migration.server.direct import schema
from migration.server.direct.schema import Column, Seen

COLUMNS = {
    (table, name): column
    for table, columns in {**schema.WRITTEN, **schema.READ}.items()
    for name, column in columns.items()
}
KNOWN = Seen(
    kinds=dict.fromkeys((*schema.WRITTEN, *schema.READ), "r"),
    columns=COLUMNS,
    triggers=schema.TRIGGERS,
    sequences=frozenset(f"{table}_id_seq" for table in schema.NUMBERED),
    versions=(2,),
    full_title=True,
    search=True,
)
TITLE = Column("character varying(256)", True)


def without(table: str, name: str) -> dict[tuple[str, str], Column]:
    """The known columns but for one."""
    return {key: one for key, one in COLUMNS.items() if key != (table, name)}


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (KNOWN, ()),
        (replace(KNOWN, lacks=("INSERT on ebook",)), ()),
        (
            replace(KNOWN, columns={**COLUMNS, ("user", "password"): TITLE}),
            (),
        ),
        (
            Seen(),
            (
                "it has no table 'author', 'series', 'ebook', 'ebook_authors', "
                "'ebook_genres', 'source'",
            ),
        ),
        (
            replace(KNOWN, kinds={**KNOWN.kinds, "source": "v"}),
            ("it has no table 'source'",),
        ),
        (
            replace(KNOWN, versions=(1,)),
            ("its schema has version 1, this lane knows 2",),
        ),
        (
            replace(KNOWN, versions=()),
            ("its schema has version none, this lane knows 2",),
        ),
        (
            replace(KNOWN, versions=(2, None)),
            ("its schema has version 2, none, this lane knows 2",),
        ),
        (
            replace(KNOWN, columns=without("ebook", "base_dir")),
            ("ebook has no column base_dir",),
        ),
        (
            replace(
                KNOWN, columns={**COLUMNS, ("ebook", "title"): Column("text", True)}
            ),
            ("ebook.title is text not null, not character varying(256) not null",),
        ),
        (
            replace(
                KNOWN, columns={**COLUMNS, ("source", "hash"): Column("text", False)}
            ),
            ("source.hash is text, not character varying(128) not null",),
        ),
        (
            replace(KNOWN, columns={**COLUMNS, ("ebook", "publisher"): TITLE}),
            ("ebook has a column more: publisher",),
        ),
        (
            replace(KNOWN, guarded=frozenset({"ebook"})),
            ("ebook has row security or rules",),
        ),
        (
            replace(
                KNOWN,
                triggers=(schema.TRIGGERS | {("source", "spy", "spied")})
                - {("ebook", "ebook_ts_insert", "update_ebook_full_text")},
            ),
            (
                "ebook has no trigger ebook_ts_insert in force that runs "
                "update_ebook_full_text",
                "source has a trigger more: spy, which runs spied",
            ),
        ),
        (
            replace(KNOWN, sequences=KNOWN.sequences - {"ebook_id_seq"}),
            ("ebook.id takes its numbers from no sequence ebook_id_seq",),
        ),
        (
            replace(KNOWN, behind=frozenset({"author"})),
            ("the sequence author_id_seq is behind the ids of its table",),
        ),
        (
            replace(KNOWN, full_title=False, search=False),
            (
                "it has no function ebook_full_title(bigint)",
                "it has no text search configuration 'custom'",
            ),
        ),
    ],
)
def test_what_differs_is_named(seen: Seen, words: tuple[str, ...]) -> None:
    """One clause each."""
    assert schema.differences(seen) == words


@pytest.mark.parametrize("key", sorted(COLUMNS))
def test_no_column_may_be_missing_or_of_another_type(key: tuple[str, str]) -> None:
    """Of those that are written or read."""
    table, name = key
    assert schema.differences(replace(KNOWN, columns=without(table, name))) == (
        f"{table} has no column {name}",
    )
    other = {**COLUMNS, key: Column("money", COLUMNS[key].required)}
    [clause] = schema.differences(replace(KNOWN, columns=other))
    assert clause.startswith(f"{table}.{name} is money")


def test_every_numbered_table_is_written_and_every_right_is_of_a_known_table() -> None:
    """The tables agree with each other."""
    known = {*schema.WRITTEN, *schema.READ}
    assert set(schema.NUMBERED) <= schema.WRITTEN.keys()
    assert schema.RIGHTS.keys() == known - {"user"}
    assert {table for table, _name, _function in schema.TRIGGERS} <= known
