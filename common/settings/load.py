"""Where settings come from, and in which order.

Option, environment, `auto_monitor/.env`, `.env`, default: the first that has a value
wins, and only that value is parsed. An empty text is no value.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from common.errors import Fatal
from common.exit_status import ExitCode
from common.sanitize import for_log
from common.settings import kinds, secret_files
from common.settings.setting import Setting, settings_of

M = TypeVar("M")

#: The files, highest precedence first; they are not read when the environment has
#: `READ_ENV_FILES=0`.
FILES = ("auto_monitor/.env", ".env")
READ_FILES = "READ_ENV_FILES"
#: How many characters of a wrong value are shown.
SHOWN = 80

_LOGIN_IN_URL = re.compile(r"(?<=://)[^/@]*@")


class WrongSetting(Fatal):
    """Settings have invalid values; one line for each."""

    code = "wrong-setting"
    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class Source:
    """Texts by variable, with a description of where they come from.

    Relative paths are below `folder`; None is the folder this process is in.
    """

    where: str
    texts: Mapping[str, str]
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """A value from the command line, with the option that gave it.

    `folder` is as that of a `Source`.
    """

    flag: str
    text: str
    folder: Path | None = None


class Sources:
    """All places settings can come from, highest precedence first."""

    def __init__(
        self, *sources: Source, options: Mapping[str, Option] | None = None
    ) -> None:
        """`options` are by variable."""
        self._options = dict(options or {})
        self._sources = sources

    def find(self, variable: str) -> tuple[str, str] | None:
        """Returns the effective text and its origin; None when no source has it."""
        found = self._effective(variable)
        return None if found is None else found[:2]

    def _effective(self, variable: str) -> tuple[str, str, Path | None] | None:
        option = self._options.get(variable)
        if option is not None and option.text.strip():
            return option.text, f"option {option.flag}", option.folder
        for source in self._sources:
            text = source.texts.get(variable, "")
            if text.strip():
                return text, source.where, source.folder
        return None

    def value_of(self, one: Setting) -> object:
        """Returns the value of a setting that some source has. Raises ValueError.

        A path is one below the folder of its source.
        """
        found = self._effective(one.variable)
        if found is None:
            raise LookupError(one.variable)
        text, _, folder = found
        value: object = one.kind.read(text)
        return folder / value if folder and isinstance(value, Path) else value

    def given(self, variable: str) -> bool:
        """Whether it was given by an option."""
        return variable in self._options

    def with_options(self, options: Mapping[str, Option]) -> "Sources":
        """Returns a copy in which these options take precedence."""
        return Sources(*self._sources, options=options)

    def texts(self) -> dict[str, str]:
        """Returns every variable that is set, with its effective text.

        Options are included: a program passes on what it was given.
        """
        names = {name for source in self._sources for name in source.texts}
        found = {name: self.find(name) for name in names | set(self._options)}
        return {name: text[0] for name, text in found.items() if text is not None}

    def handed_on(self, *models: type) -> dict[str, str]:
        """What another program that has these models is to be told, by variable.

        That is all of it: the program need not read the files again.
        """
        texts = self.texts()
        settings = {one.variable: one for model in models for one in settings_of(model)}
        names = sorted(set(settings) & set(texts))
        told = {name: self._told(settings[name], texts[name]) for name in names}
        return told | {READ_FILES: "0"}

    def _told(self, one: Setting, text: str) -> str:
        """Returns the text of a setting for a program that is in another folder."""
        if not one.kind.is_path:
            return text
        with suppress(ValueError):
            return str(Path(str(self.value_of(one))).absolute())
        return text


def sources(
    project: Path, environment: Mapping[str, str], folder: Path | None = None
) -> Sources:
    """Returns the environment and the project's files as sources.

    Relative paths are below `folder` in the environment, below the project in its
    files. Raises WrongSetting.
    """
    given = [("the environment", dict(environment), folder)]
    if _reads_files(environment.get(READ_FILES, "")):
        paths = [path for name in FILES if (path := project / name).is_file()]
        given += [(str(path), _texts(path), project) for path in paths]
    found, wrong = [], []
    for where, texts, place in given:
        complete, refused = secret_files.resolved(texts, where, place or Path())
        found.append(Source(where, complete, place))
        wrong += refused
    if wrong:
        raise WrongSetting("\n".join(wrong))
    return Sources(*found)


def _reads_files(text: str) -> bool:
    try:
        return kinds.switch().read(text.strip() or "1")
    except ValueError:
        # It is refused when the settings are read, with all others that are wrong.
        return True


def _texts(path: Path) -> dict[str, str]:
    # Imported only if there is such a file: the import is a tenth of the cost of a
    # worker's start.
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
    """Loads the settings of a program.

    Raises WrongSetting, with a line for each wrong one.
    """
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
    """Returns the settings, defaulted where wrong, and a line for each error."""
    values, wrong = {}, []
    for one in settings_of(model):
        found = given.find(one.variable)
        if found is None:
            continue
        text, where = found
        try:
            values[one.field] = given.value_of(one)
        except ValueError:
            wrong.append(_sentence(one, text, where))
    return model(**values), wrong


def _sentence(one: Setting, text: str, where: str) -> str:
    unit = f" ({one.unit})" if one.unit else ""
    if one.secret:
        # A value in the wrong place may be another secret.
        shown = f"{one.variable} (its value is not shown)"
    else:
        shown = f"{one.variable}={for_log(_LOGIN_IN_URL.sub('***@', text), SHOWN)!r}"
    hint = one.kind.hint(text)
    why = f" ({hint})" if hint else ""
    return f"{shown} is not {one.kind.allowed}{unit}{why}; it comes from {where}"
