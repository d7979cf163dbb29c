"""The part of a round that logs how workers have changed, and remembers it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from auto_monitor.decide import changed
from auto_monitor.model import Assessment, Health, WorkerSnapshot
from auto_monitor.ports import Alerts, Diagnoser, Script
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.history import Cases
from auto_monitor.record.memory import Memory


@dataclass(frozen=True, slots=True)
class Noter:
    """Notes the workers of a round.

    `excused` says whether people need not be told of one that has ended for good: they
    know already, or the library is being changed.
    """

    memory: Memory
    cases: Cases
    action_log: ActionLog
    alerts: Alerts
    diagnoser: Diagnoser | None
    script: Script
    excused: Callable[[], bool]

    def note(
        self,
        snapshots: Mapping[int, WorkerSnapshot],
        assessments: Mapping[int, Assessment],
        now: datetime,
    ) -> None:
        """Logs changes and records since when a worker is suspect and how it ended."""
        self._note_script()
        self._note_llm()
        for number, seen in snapshots.items():
            assessment, record = assessments[number], self.memory.record(number)
            suspect = (record.suspect_since or now) if assessment.is_suspect else None
            kept = (
                record.suspect_since if self.cases.of(number) is not None else suspect
            )
            self.memory.remember(
                replace(
                    record,
                    suspect_since=kept,
                    exit_code=seen.exit_code,
                    suspect_of=assessment.what if suspect else "",
                )
            )
            if self.diagnoser is not None and not assessment.is_a_riddle:
                self.diagnoser.forget(number)
            self._say(number, assessment)

    def _note_script(self) -> None:
        """Records whether the workers' script is the released one; says when not.

        And what a new version's script has taken the place of, which is an alert, once.
        """
        found = changed.changed(
            self.cases.entries(),
            self.script.name,
            self.script.digest(),
            shipped=self.script.shipped,
        )
        names = tuple(self.script.given_way())
        apply = self.action_log.hint("apply", *names[-1:])
        kept = changed.given_way(names, apply)
        said = (
            ""
            if found is None
            else f"{found}; {changed.commands(self.action_log.hint)}"
        )
        self.memory.change(changed_script="; ".join(filter(None, (said, kept))))
        if found is None:
            self.action_log.forget("script")
        else:
            self.action_log.once("script", said)
        if set(names) - set(self.memory.state.told_given_way):
            self.alerts.tell(kept)
        self.memory.change(told_given_way=names)

    def _note_llm(self) -> None:
        """Logs, once, that the LLM does not answer, and when it does again."""
        trouble = None if self.diagnoser is None else self.diagnoser.trouble
        before = self.memory.state.llm
        self.memory.change(llm=trouble)
        if trouble:
            self.action_log.once(
                "llm",
                f"The LLM does not answer: {trouble}. Until it does, workers are restarted "
                "without its diagnosis",
            )
        elif before and trouble == "":
            self.action_log.forget("llm")
            self.action_log.info("The LLM answers again")

    def _say(self, number: int, assessment: Assessment) -> None:
        text = f"Worker {number} is {assessment.health.value}: {assessment.reason}"
        new = self.action_log.once(f"worker {number}", text, assessment.health.value)
        if new and assessment.health is Health.ENDED and not self.excused():
            self.alerts.tell(f"{text}; a restart cannot mend that")
