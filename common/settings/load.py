"""Where settings come from, and in which order.

Option, environment, `auto_monitor/.env`, `.env`, default: the first that says something
counts, and only that is read. An empty text says nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from common.errors import Fatal
from common.exit_status import ExitCode
from common.sanitize import for_log
from common.settings import kinds
from common.settings.setting import Setting, settings_of

M = TypeVar("M")

#: The files, the one that counts more first; `READ_ENV_FILES=0` in the environment
#: leaves them unread.
FILES = ("auto_monitor/.env", ".env")
READ_FILES = "READ_ENV_FILES"
#: How much of a wrong value is shown.
SHOWN = 80

_LOGIN_IN_URL = re.compile(r"(?<=://)[^/@]*@")


class WrongSetting(Fatal):
    """Settings have values that make no sense; a line for each."""

    code = "wrong-setting"
    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class Source:
    """Texts by variable, and where they are from, for people."""

    where: str
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Option:
    """A value from the command line: which option gave it."""

    flag: str
    text: str


class Sources:
    """All places settings can come from, the one that counts most first."""

    def __init__(
        self, *sources: Source, options: Mapping[str, Option] | None = None
    ) -> None:
        """`options` are by variable."""
        self._options = dict(options or {})
        self._sources = sources

    def find(self, variable: str) -> tuple[str, str] | None:
        """The text that counts and where it is from; None when nobody says anything."""
        option = self._options.get(variable)
        if option is not None and option.text.strip():
            return option.text, f"option {option.flag}"
        for source in self._sources:
            text = source.texts.get(variable, "")
            if text.strip():
                return text, source.where
        return None

    def given(self, variable: str) -> bool:
        """Was it named by an option?"""
        return variable in self._options

    def with_options(self, options: Mapping[str, Option]) -> "Sources":
        """The same, with these options before everything else."""
        return Sources(*self._sources, options=options)

    def texts(self) -> dict[str, str]:
        """Every variable that somebody names, with the text that counts.

        Options count here as well: what a program hands on is what it was told.
        """
        names = {name for source in self._sources for name in source.texts}
        found = {name: self.find(name) for name in names | set(self._options)}
        return {name: text[0] for name, text in found.items() if text is not None}

    def handed_on(self, *models: type) -> dict[str, str]:
        """What another program that has these models is to be told, by variable.

        That is all of it: the program need not read the files again.
        """
        texts = self.texts()
        names = {one.variable for model in models for one in settings_of(model)}
        return {name: texts[name] for name in sorted(names & set(texts))} | {
            READ_FILES: "0"
        }


def sources(project: Path, environment: Mapping[str, str]) -> Sources:
    """The environment and the files of the project. Raises WrongSetting."""
    found = [Source("the environment", dict(environment))]
    if _reads_files(environment.get(READ_FILES, "")):
        paths = (project / name for name in FILES)
        found += [Source(str(path), _texts(path)) for path in paths if path.is_file()]
    return Sources(*found)


def _reads_files(text: str) -> bool:
    try:
        return kinds.switch().read(text.strip() or "1")
    except ValueError:
        # It is refused when the settings are read, with all others that are wrong.
        return True


def _texts(path: Path) -> dict[str, str]:
    # Only where there is such a file: the import is a tenth of what a worker's start
    # costs.
    from dotenv import dotenv_values

    try:
        lines = dotenv_values(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise WrongSetting(
            f"{path} cannot be read: {reason}; correct it or move it away"
        ) from error
    return {name: text for name, text in lines.items() if text is not None}


def load(model: type[M], given: Sources) -> M:
    """The settings of a program. Raises WrongSetting, with a line for each wrong
    one."""
    values, wrong = read(model, given)
    if wrong:
        raise WrongSetting("\n".join(wrong))
    return values


def check(given: Sources, *models: type) -> None:
    """Raises WrongSetting, with a line for each wrong setting of these programs.

    For whoever hands them on: only here it is known where they come from.
    """
    wrong = dict.fromkeys(line for model in models for line in read(model, given)[1])
    if wrong:
        raise WrongSetting("\n".join(wrong))


def read(model: type[M], given: Sources) -> tuple[M, list[str]]:
    """The settings, the default in place of what is wrong; and a line for each wrong
    one."""
    values, wrong = {}, []
    for one in settings_of(model):
        found = given.find(one.variable)
        if found is None:
            continue
        text, where = found
        try:
            values[one.field] = one.kind.read(text)
        except ValueError:
            wrong.append(_sentence(one, text, where))
    return model(**values), wrong


def _sentence(one: Setting, text: str, where: str) -> str:
    unit = f" ({one.unit})" if one.unit else ""
    if one.secret:
        # What was typed in the wrong place may be another secret.
        shown = f"{one.variable} (its value is not shown)"
    else:
        shown = f"{one.variable}={for_log(_LOGIN_IN_URL.sub('***@', text), SHOWN)!r}"
    return f"{shown} is not {one.kind.allowed}{unit}; it comes from {where}"
