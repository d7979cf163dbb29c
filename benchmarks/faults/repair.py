"""Thirty faults of our own in the worker, each mended by what an LLM would answer, or
not mended by what it would answer wrongly.

    python -m benchmarks.faults.repair [--second | --wrong | --real] [--jobs N] [--keep DIR]
    [FAULT ...]

A real monitor with four workers, a real server, the gate; the LLM is a scripted HTTP
server that speaks the OpenAI API. The first answer is right; with --second it is wrong
or cannot be applied, and the second is right; with --wrong all are wrong. --real asks
the model of OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL. Thresholds are seconds,
as in the tests: 8 s until a worker that has settled nothing is stuck. One row each; the
status is how many faults were not repaired, or wrong answers kept."""

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import table
from benchmarks.faults import incident
from benchmarks.faults.faultlist import FAULTS, Fault, replies
from benchmarks.faults.incident import Ended, Incident
from tests.support.monitor.brokenkit import SHIPPED
from tests.support.monitor.editkit import fenced
from tests.support.monitor.llmkit import decision

#: Nothing of the script: the edit is refused, and the real lines are sent back.
NOT_THERE = "old_string:\n        self.queue.put(book)\nnew_string:\n        pass\n"


@dataclass(frozen=True, slots=True)
class Run:
    """One row: its words, and how the run ended."""

    words: tuple[str, ...]
    go: Callable[[Path | None], Ended]


def shape_of(number: int) -> tuple[replies.Format, replies.Form]:
    """The shape of an answer, each in turn."""
    return replies.SHAPES[number % len(replies.SHAPES)]


def rights(faults: Sequence[tuple[int, Fault]], *, second: bool) -> Iterator[Run]:
    """A right answer for each, at first or at second."""
    for number, fault in faults:
        broken, shape = fault.broken(SHIPPED), shape_of(number)
        answer = replies.right(fault, broken, shape)
        told, answers = "right", [answer]
        if second:
            told, answers = _second(number, fault, broken, answer)
        words = (fault.name, fault.kind.value, ", ".join(shape), told)
        yield Run(words, partial(incident.run, fault, answers, _never))


def _second(
    number: int, fault: Fault, broken: str, answer: str
) -> tuple[str, list[str]]:
    """A wrong answer before the right one; every other time it cannot be applied."""
    edits = [one for one in fault.wrong if one.edit is not None]
    if number % 2 or not edits:
        text = decision("code_fix") + fenced(NOT_THERE)
        return "not applicable, right", [text, answer]
    first = replies.wrong(fault, edits[0], broken, shape_of(0))
    return f"{edits[0].how}, right", [first, answer]


def wrongs(faults: Sequence[tuple[int, Fault]]) -> Iterator[Run]:
    """Every wrong answer, again and again."""
    for number, fault in faults:
        broken = fault.broken(SHIPPED)
        for one in fault.wrong:
            shape = shape_of(number)
            answer = replies.wrong(fault, one, broken, shape)
            words = (fault.name, fault.kind.value, ", ".join(shape), one.how)
            yield Run(words, partial(incident.run, fault, [answer], _judged))


def reals(faults: Sequence[tuple[int, Fault]]) -> Iterator[Run]:
    """The model of the environment."""
    for _number, fault in faults:
        words = (fault.name, fault.kind.value, "its own", os.environ["OPENAI_MODEL"])
        yield Run(words, partial(incident.run, fault, [], _never))


def _never(_incident: Incident) -> bool:
    return False


def _judged(found: Incident) -> bool:
    """Every attempt has its verdict, and none stands."""
    attempts = found.history()
    return bool(attempts) and all(
        entry["verified"] is not None
        and (entry["verified"] is False or entry["fix_type"] != "code_fix")
        for entry in attempts
    )


def main() -> int:
    """Prints a row for each run and the sums."""
    given = arguments().parse_args()
    chosen = [
        (number, fault)
        for number, fault in enumerate(FAULTS)
        if not given.faults or any(word in fault.name for word in given.faults)
    ]
    runs = [*_runs(given, chosen)]
    heads = ("fault", "kind", "form", "answers", *_HEADS)
    print(f"{table.machine()}\n\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    ends: list[Ended] = []

    def one(run: Run) -> Ended:
        folder = run.words[0] if not given.wrong else f"{run.words[0]}, {run.words[3]}"
        ended = run.go(given.keep / folder.replace(" ", "_") if given.keep else None)
        print(f"| {' | '.join((*run.words, *_row(ended)))} |", flush=True)
        return ended

    with ThreadPoolExecutor(given.jobs) as lanes:
        ends = list(lanes.map(one, runs))
    return _summary(ends, wrong=given.wrong)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--second", action="store_true", help="right at second")
    kind.add_argument("--wrong", action="store_true", help="wrong answers only")
    kind.add_argument("--real", action="store_true", help="a real model answers")
    parser.add_argument(
        "--jobs",
        type=int,
        default=max(1, (os.cpu_count() or 1) // 2),
        help="incidents side by side [default: one for two processors]",
    )
    parser.add_argument(
        "--keep", type=Path, help="a folder for the state directories, to look at"
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="[default: all]")
    return parser


def _runs(
    given: argparse.Namespace, chosen: Sequence[tuple[int, Fault]]
) -> Iterator[Run]:
    if given.real and not os.environ.get("OPENAI_MODEL"):
        raise SystemExit("--real needs OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_MODEL")
    if given.wrong:
        return wrongs(chosen)
    return reals(chosen) if given.real else rights(chosen, second=given.second)


_HEADS = ("verified", "calls", "tokens", "kept", "dropped", "refused", "at the end")


def is_repaired(ended: Ended) -> bool:
    """Verified, in place, and everything there; a missing file may have failed."""
    return (
        ended.verified is not None
        and ended.kept
        and not ended.troubles
        and ended.status == 0
    )


def _row(ended: Ended) -> tuple[str, ...]:
    seconds = "no" if ended.verified is None else f"{ended.verified:.0f} s"
    what = "; ".join(ended.troubles) or "all arrived"
    if not is_repaired(ended):
        what += f" ({ended.said[:160].replace('|', '/')})"
    return (
        seconds,
        str(ended.calls),
        str(ended.tokens),
        "yes" if ended.kept else "no",
        str(ended.dropped),
        str(ended.refused),
        what,
    )


def _summary(ends: Sequence[Ended], *, wrong: bool) -> int:
    """Prints the sums; returns how many runs went wrong."""
    if wrong:
        mends = sum(map(is_repaired, ends))
        kept = sum(ended.kept for ended in ends) - mends
        print(
            f"\n{len(ends)} wrong answers, {kept} kept; {mends} mend the fault all the "
            "same: everything arrived, was read back, and no file failed"
        )
        return kept
    repaired = [ended for ended in ends if is_repaired(ended)]
    seconds = [ended.verified for ended in repaired if ended.verified is not None]
    median = statistics.median(seconds) if seconds else 0.0
    print(
        f"\n{len(repaired)} of {len(ends)} repaired, median {median:.0f} s; at most two "
        f"calls: {sum(ended.calls <= 2 for ended in repaired)}; tried and dropped: "
        f"{sum(ended.dropped for ended in ends)}"
    )
    return len(ends) - len(repaired)


if __name__ == "__main__":
    sys.exit(main())
