"""Which books a run is about: the same settings for a worker and for ./start.sh.

Different ones all have to hold, several values of one are alternatives.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from common.settings import kinds
from common.settings.kinds import Kind
from common.settings.setting import setting, settings_of

#: The highest id that SQLite can hold.
_HIGHEST_ID = 2**63 - 1
_AGE = re.compile(r"([0-9]{1,6})(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since(text: str, now: datetime) -> datetime:
    """Returns the time that `2026-01-31`, `2026-01-31T18:30` (UTC) or `30d` means.

    An age (m, h, d, w) counts back from `now`. Raises ValueError.
    """
    age = _AGE.fullmatch(text)
    try:
        if age is not None:
            moment = now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        else:
            moment = datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(text) from error
    return moment.replace(microsecond=0)


def id_span(text: str) -> tuple[int, int]:
    """Returns first and last id of `7` or `1-20`. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,19})(?:\s*-\s*([0-9]{1,19}))?", text)
    if match is None:
        raise ValueError(text)
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= _HIGHEST_ID:
        raise ValueError(text)
    return first, last


def _name(text: str) -> list[str]:
    if len(text) > kinds.LONGEST or not text.isprintable():
        raise ValueError(text)
    return [text]


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if part.strip() for name in _name(part)]


def _formats(text: str) -> list[str]:
    return [name.strip().lstrip(".").upper() for name in _names(text)]


def _ids(text: str) -> list[tuple[int, int]]:
    return [id_span(part.strip()) for part in text.split(",") if part.strip()]


def _since(text: str) -> list[str]:
    since(text, datetime.now(UTC))
    return [text]


def _stripped(text: str) -> list[str]:
    return [name.strip() for name in _names(text)]


_TAGS = kinds.several("names of tags, also between commas", _stripped)
_AUTHORS = kinds.several("a name of an author", _name)
_SERIES = kinds.several("a name of a series", _name)
_LANGUAGES = kinds.several("languages such as eng,de,French", _stripped)
_FORMATS = kinds.several("formats such as epub,pdf", _formats)
_IDS = kinds.several("book ids such as 1-20,45", _ids)
_SINCE = kinds.several(
    "a date (2026-01-31), a time (2026-01-31T18:30, UTC) or an age (90m, 12h, 30d, 2w)",
    _since,
)

Names = tuple[str, ...]


def _names_setting(kind: Kind[Names], option: str, metavar: str, what: str) -> Names:
    return setting(
        kind,
        (),
        variable=f"SELECT_{option.removeprefix('--').replace('-', '_').upper()}",
        option=option,
        metavar=metavar,
        what=what,
        repeats=True,
    )


@dataclass(frozen=True, kw_only=True)
class Selecting:
    """Which books a run is about; all if nothing is said."""

    select_tag: Names = _names_setting(
        _TAGS,
        "--tag",
        "NAME",
        "only books with this tag or one below it (Fiction: also Fiction.Fantasy); "
        "given twice: either",
    )
    select_not_tag: Names = _names_setting(
        _TAGS, "--not-tag", "NAME", "only books without this tag and those below it"
    )
    select_author: Names = _names_setting(
        _AUTHORS, "--author", "NAME", "only books of this author"
    )
    select_not_author: Names = _names_setting(
        _AUTHORS, "--not-author", "NAME", "only books not of this author"
    )
    select_series: Names = _names_setting(
        _SERIES, "--series", "NAME", "only books of this series"
    )
    select_not_series: Names = _names_setting(
        _SERIES, "--not-series", "NAME", "only books not of this series"
    )
    select_language: Names = _names_setting(
        _LANGUAGES, "--language", "CODE", "only books in this language"
    )
    select_not_language: Names = _names_setting(
        _LANGUAGES, "--not-language", "CODE", "only books not in this language"
    )
    select_format: Names = _names_setting(
        _FORMATS,
        "--format",
        "A,B",
        "only files of these formats; unlike --formats, which counts all others as "
        "skipped, it leaves them out of the run",
    )
    select_not_format: Names = _names_setting(
        _FORMATS, "--not-format", "A,B", "only files not of these formats"
    )
    select_ids: tuple[tuple[int, int], ...] = setting(
        _IDS,
        (),
        option="--ids",
        metavar="A-B,C",
        repeats=True,
        what="only books with these Calibre ids, such as 1-20,45",
    )
    select_not_ids: tuple[tuple[int, int], ...] = setting(
        _IDS,
        (),
        option="--not-ids",
        metavar="A-B,C",
        repeats=True,
        what="only books without these Calibre ids",
    )
    select_added_since: Names = _names_setting(
        _SINCE,
        "--added-since",
        "WHEN",
        "only books added to Calibre since then: a date, a time (UTC) or an age such "
        "as 30d",
    )
    select_not_added_since: Names = _names_setting(
        _SINCE, "--not-added-since", "WHEN", "only books added to Calibre before then"
    )
    select_modified_since: Names = _names_setting(
        _SINCE,
        "--modified-since",
        "WHEN",
        "only books modified in Calibre since then: a date, a time (UTC) or an age "
        "such as 30d",
    )
    select_not_modified_since: Names = _names_setting(
        _SINCE,
        "--not-modified-since",
        "WHEN",
        "only books last modified in Calibre before then",
    )


def selects(values: Selecting) -> bool:
    """Whether anything is selected by."""
    return any(getattr(values, one.field) for one in settings_of(Selecting))
