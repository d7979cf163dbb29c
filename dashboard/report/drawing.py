"""A line chart as SVG for the printable report. Pure.

It has no script and no external style.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 180, 56, 22, 10


def line_chart(
    times: Sequence[datetime],
    values: Sequence[float | None],
    title: str,
    *,
    top: float | None = None,
) -> str:
    """Returns an SVG of the values over time, with gaps where one is None.

    "" when there are fewer than two values.
    """
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    ceiling = top or _round_up(max(known))
    start, span = times[0], max((times[-1] - times[0]).total_seconds(), 1.0)
    paths, pen = [], "M"
    for at, value in zip(times, values, strict=True):
        if value is None:
            pen = "M"
            continue
        x = LEFT + (WIDTH - LEFT) * (at - start).total_seconds() / span
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(value, ceiling) / ceiling)
        paths.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    lines = "".join(_grid(ceiling * part, 1 - part) for part in (0, 0.5, 1))
    pattern = "%d %b %H:%M" if span > 86_400 else "%H:%M" if span > 600 else "%H:%M:%S"
    ends = f'<text x="{LEFT}" y="{HEIGHT - 5}">{times[0]:{pattern}}</text>' + (
        f'<text x="{WIDTH}" y="{HEIGHT - 5}" text-anchor="end">{times[-1]:{pattern}}</text>'
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>'
        f'{lines}{ends}<path class="line" d="{" ".join(paths)}"/></svg>'
    )


def _grid(value: float, down: float) -> str:
    y = TOP + (HEIGHT - TOP - BOTTOM) * down
    shown = f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{shown}</text>'
    )


def _round_up(value: float) -> float:
    """Rounds up to 1, 2, 5, 10, 20, …"""
    if value <= 0:
        return 1.0
    power = 10.0 ** (
        len(f"{value:.0f}") - 1 if value >= 1 else -len(f"{1 / value:.0f}")
    )
    return next(step * power for step in (1, 2, 5, 10, 20) if step * power >= value)
