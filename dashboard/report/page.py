"""The report as a page, self-contained and without scripts."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import jinja2
from markupsafe import Markup

from common.json_value import Json
from dashboard.report.drawing import line_chart
from migration.worker.progress.report import minutes_in_words, size_in_words

HERE = Path(__file__).parent

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["size"] = size_in_words
_templates.filters["span"] = lambda seconds: minutes_in_words(seconds / 60)
_templates.filters["count"] = lambda number: f"{number:,}"
_templates.filters["moment"] = lambda text: (
    f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC"
)


def render(value: Mapping[str, Json]) -> str:
    """Returns the page, self-contained and without scripts.

    So it can be mailed and opened anywhere.
    """
    return _templates.get_template("report.html").render(
        **value, charts=_charts(value["rate"])
    )


def _charts(rate: Json) -> list[tuple[str, Markup]]:
    rows = (
        [row for row in rate if isinstance(row, dict)] if isinstance(rate, list) else []
    )
    times = [datetime.fromisoformat(str(row["at"])) for row in rows]

    def column(name: str, factor: float = 1.0) -> list[float | None]:
        return [
            None if row[name] is None else float(json.dumps(row[name])) * factor
            for row in rows
        ]

    drawn = [
        (
            "Files per minute",
            line_chart(times, column("files_per_min"), "Files per minute"),
        ),
        (
            "Megabytes per second",
            line_chart(times, column("bytes_per_second", 1e-6), "Megabytes per second"),
        ),
        (
            "Disk of the library, % busy",
            line_chart(times, column("disk_percent"), "Disk, percent busy", top=100),
        ),
        ("Workers running", line_chart(times, column("workers"), "Workers running")),
    ]
    # Drawn from numbers and titles of our own; nothing in it comes from a book.
    return [(title, Markup(svg)) for title, svg in drawn if svg]  # noqa: S704
