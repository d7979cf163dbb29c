"""Columns that users added to Calibre (`#genre`, `#read` …), kept as text.

The server has no place for them. Column N is `custom_column_N(book, value)`, or, when
normalised, `custom_column_N(id, value)` with `books_custom_column_N_link(book, value,
extra)`; `extra` is the index of a series. Composite columns are templates and hold no
data.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from common.json_value import Json
from common.sanitize import sanitize_json, sanitize_text

Rows = list[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class _Column:
    number: int
    label: str
    name: str
    datatype: str
    multiple: bool
    normalized: bool


class CustomColumns:
    """The custom columns of one library.

    `query` runs one SELECT and returns all its rows.
    """

    def __init__(
        self, query: Callable[..., Rows], tables: Mapping[str, frozenset[str]]
    ) -> None:
        self._query = query
        self._tables = tables
        self._columns = self._known() if "custom_columns" in tables else []

    def named(self) -> dict[str, tuple[str, str]]:
        """Returns name and datatype of each column, by `#label`."""
        return {
            f"#{column.label}": (column.name or column.label, column.datatype)
            for column in self._columns
        }

    def read(self, span: tuple[int, int]) -> dict[int, dict[str, Json]]:
        """Returns the values of the books of a range, by book and `#label`."""
        values: dict[int, dict[str, Json]] = defaultdict(dict)
        for column in self._columns:
            for book, *parts in self._rows(column, span):
                if isinstance(book, int):
                    self._add(values[book], column, parts)
        return values

    @staticmethod
    def _add(values: dict[str, Json], column: _Column, parts: list[object]) -> None:
        value = _value(column, parts)
        if value is None:
            return
        key = f"#{column.label}"
        if column.multiple:
            several = values.setdefault(key, [])
            if isinstance(several, list):
                several.append(value)
        else:
            values[key] = value

    def _known(self) -> list[_Column]:
        rows = self._query(
            "SELECT id, label, name, datatype, is_multiple, normalized FROM "
            "custom_columns "
            "WHERE mark_for_delete = 0"
            " ORDER BY id"
        )
        return [
            _Column(
                number,
                _plain(label),
                _plain(name),
                _plain(datatype),
                bool(multiple),
                bool(normalized),
            )
            for number, label, name, datatype, multiple, normalized in rows
            if isinstance(number, int)
            and _plain(datatype) != "composite"
            and f"custom_column_{number}" in self._tables
        ]

    def _rows(self, column: _Column, span: tuple[int, int]) -> Rows:
        table, link = (
            f"custom_column_{column.number}",
            f"books_custom_column_{column.number}_link",
        )
        if not column.normalized:
            sql = (
                f"SELECT book, value FROM {table} WHERE book BETWEEN ? AND ? ORDER "  # noqa: S608
                "BY book"
            )
            return self._query(sql, span)
        if link not in self._tables:
            return []
        extra = "l.extra" if "extra" in self._tables[link] else "NULL"
        return self._query(
            f"SELECT l.book, v.value, {extra} FROM {link} l JOIN {table} v ON v.id = "  # noqa: S608
            "l.value"
            " WHERE l.book BETWEEN ? AND ? ORDER BY l.book, l.id",
            span,
        )


def _value(column: _Column, parts: list[object]) -> Json:
    value = sanitize_json(parts[0])
    if column.datatype == "bool" and isinstance(value, int):
        return bool(value)
    if column.datatype == "series" and len(parts) > 1 and parts[1] is not None:
        return {"series": value, "index": sanitize_json(parts[1])}
    return value


def _plain(value: object) -> str:
    return sanitize_text(value) if isinstance(value, bytes | str) else ""
