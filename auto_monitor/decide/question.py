"""The evidence about a worker, as the LLM is shown it. Pure.

What alike workers have in common makes one question (`key_of`); everything else says
what happened to this one.
"""

import ast
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from auto_monitor.decide import stacks
from auto_monitor.decide.diagnosis import WRONG_BOOKS, Facts, patterns, templates
from auto_monitor.decide.redact import redact, without_values
from common.json_value import Json
from common.sanitize import for_log, sanitize_text
from migration.model import Progress

#: Characters of a token, where nobody counts them: an estimate for English and Python.
CHARACTERS_PER_TOKEN = 4
#: What one question may have, script included; what is least telling is left out first.
MOST_TOKENS = 32_000
#: Of one log line, of one change that was tried, in characters.
LONGEST_LINE, LONGEST_CHANGE = 600, 6_000
#: Books of which is shown what an audit found.
MOST_FINDINGS = 20
#: The part of a question with the worker's script, line by line.
SCRIPT = "script"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is read from the worker's files.

    `lines` are the last of its log. `script` is the source of the script in place,
    `script_name` its name. `saturated` is from how many percent on a disk is.
    """

    lines: Sequence[str]
    progress: Progress | None
    script: str
    script_name: str
    saturated: float

    @property
    def script_hash(self) -> str:
        """Which script it is."""
        return hashlib.sha256(self.script.encode("utf-8", "replace")).hexdigest()


def key_of(facts: Facts, around: Surroundings) -> str:
    """Returns what makes a question: the trouble, the script, what was tried.

    Not the worker and not the books: those that hang or crash alike are asked about
    once.
    """
    busy = facts.disk_utilization
    same = [
        facts.mark,
        facts.phase,
        around.script_hash,
        [[one.fix, one.result, one.change] for one in facts.earlier],
        None if busy is None else busy >= around.saturated,
        any(times >= 2 for times in facts.causes.values()),
    ]
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()[:32]


def evidence(
    facts: Facts, around: Surroundings, now: datetime, values: frozenset[str]
) -> dict[str, Json]:
    """Returns everything the LLM is shown, free of these secrets and of what looks like
    one. `now` is by the wall clock, as the times of the progress file are.
    """
    # Before they are counted as alike: a secret whose digits are replaced is no longer
    # recognized by its value.
    lines = [redact(line, values) for line in around.lines]
    busy = facts.disk_utilization
    shown: dict[str, Json] = {
        "verdict": facts.reason,
        "minutes_stuck": facts.minutes_stuck,
        "phase": facts.phase,
        "exception": _exception(facts),
        "stacks": _stacks(facts.stack),
        "in_hand": facts.in_hand,
        **_found_wrong(facts),
        **_at_work(around.progress, lines, now),
        "beat_age_seconds": facts.beat_age,
        "progress_age_seconds": facts.progress_age,
        "disk_utilization_percent": busy,
        "disk_saturated": None if busy is None else busy >= around.saturated,
        "error_patterns": {**patterns(lines)},
        "tried_before": [
            {
                "fix": one.fix,
                "result": one.result,
                "checks": one.checks,
                "its_stacks": _stacks(one.stack),
                "change": _texts(one.change[:LONGEST_CHANGE].splitlines()),
            }
            for one in facts.earlier
        ],
        "root_causes_before": {**facts.causes},
        "may_be_changed": _texts(changeable(around.script)),
        "last_log_lines": _texts(
            for_log(line, LONGEST_LINE) for line in templates(lines)
        ),
    }
    clean = _each(shown, lambda text: redact(text, values))
    if around.script:
        # The script has no secrets of its own, and must be shown as it is.
        clean[SCRIPT] = {
            "name": around.script_name,
            "source": without_values(around.script, values),
        }
    return fitted(clean, MOST_TOKENS)


def changeable(source: str) -> list[str]:
    """Returns the functions of the script that a fix may change.

    These are the methods of its class, but for the constructor and properties, which
    say how it is put together. It is read, never run.
    """
    try:
        tree = ast.parse(source)
    except (ValueError, SyntaxError):
        return []
    return [
        method.name
        for one in tree.body
        if isinstance(one, ast.ClassDef)
        for method in one.body
        if isinstance(method, ast.FunctionDef)
        and not method.name.startswith("__")
        and not any(
            isinstance(mark, ast.Name) and mark.id == "property"
            for mark in method.decorator_list
        )
    ]


def _texts(texts: Iterable[str]) -> list[Json]:
    return [*texts]


def _found_wrong(facts: Facts) -> dict[str, Json]:
    """What an audit found, of the first books; all of their numbers, for the gate."""
    if not facts.findings:
        return {}
    shown = list(facts.findings.items())[:MOST_FINDINGS]
    return {
        "audit_findings": {
            str(book): for_log(said, LONGEST_LINE) for book, said in shown
        },
        WRONG_BOOKS: [*facts.findings],
    }


def _exception(facts: Facts) -> Json:
    """What a worker that crashed has left; only the substrate writes that."""
    if not facts.crash:
        return None
    return {"error": facts.error, "frames_ours_first": _texts(facts.crash.splitlines())}


def _stacks(text: str) -> Json:
    clean = sanitize_text(text, multiline=True)
    return [
        {
            "threads": len(one.threads) or 1,
            "names": list(one.threads[:4]),
            "innermost_first": list(one.frames),
        }
        for one in stacks.distinct(clean)
    ]


def _at_work(
    seen: Progress | None, lines: Sequence[str], now: datetime
) -> dict[str, Json]:
    """What is being read, and what is being sent."""
    reading: Json = None
    for line in lines:
        if "Querying Calibre database: books " in line:
            reading = line.partition("database: ")[2]
        elif "Processed batch: " in line:
            reading = None
    if seen is None:
        return {"range_being_read": reading}
    return {
        "range_being_read": reading,
        "oldest_range_held": None if seen.range is None else list(seen.range),
        "files": [
            {
                "file": str(one.id),
                "path": one.file,
                "state": "being read" if not one.bytes_sent else "being sent",
                "bytes_sent": one.bytes_sent,
                "size": one.size,
                "seconds": round(max(0.0, (now - one.since).total_seconds()), 1),
            }
            for one in seen.current
        ],
        "counts": {
            name: getattr(seen.counts, name)
            for name in seen.counts.__dataclass_fields__
        },
        "last_error": None
        if seen.last_error is None
        else f"{seen.last_error.error_class}: {seen.last_error.message}",
        "parallel_uploads": seen.parallel_uploads,
        "batch_size": seen.batch_size,
    }


def tokens(shown: Mapping[str, Json]) -> int:
    """Estimates the tokens of a question: a quarter of its characters."""
    return len(json.dumps(shown, ensure_ascii=False)) // CHARACTERS_PER_TOKEN


def fitted(shown: dict[str, Json], most: int) -> dict[str, Json]:
    """Returns the question without what is too much, which it then says.

    The oldest log lines go first, then the deepest frames, then older tries; script,
    exception and verdict stay.
    """
    for name, keep in (("last_log_lines", 40), ("stacks", 6), ("tried_before", 1)):
        part = shown.get(name)
        too_much = tokens(shown) - most
        if too_much <= 0 or not isinstance(part, list):
            continue
        newest_first = list(reversed(part)) if name != "stacks" else list(part)
        kept: list[Json] = []
        room = tokens({name: part}) - too_much
        for item in newest_first:
            if len(kept) >= keep and tokens({name: [*kept, item]}) > room:
                break
            kept.append(item)
        if name != "stacks":
            kept.reverse()
        shown = {**shown, name: kept, f"{name}_left_out": len(part) - len(kept)}
    return shown


def _each(value: Mapping[str, Json], change: Callable[[str], str]) -> dict[str, Json]:
    return {change(name): _changed(item, change) for name, item in value.items()}


def _changed(value: Json, change: Callable[[str], str]) -> Json:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_changed(item, change) for item in value]
    return _each(value, change) if isinstance(value, dict) else value
