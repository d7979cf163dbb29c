"""Declaring a setting: a field of a frozen dataclass with everything about it.

The field's name in capitals is its environment variable, unless it names another one.
The loader, the command lines, the reference in docs/settings.md and the variables that
docker-compose.yml passes on are all derived from it.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

from common.settings.kinds import Kind

T = TypeVar("T")
D = TypeVar("D")

_KEY = "setting"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; `default_text` is how the reference and --help show its default."""

    field: str
    variable: str
    kind: Kind[Any]
    default: Any
    what: str
    unit: str
    option: str
    metavar: str
    default_text: str
    secret: bool
    container: bool
    repeats: bool = False

    @property
    def help(self) -> str:
        """The text for --help; that of a switch says what it does when it is given."""
        default = f"default: {self.default_text}" if self.default_text else "no default"
        what = self.what
        if self.option and not self.metavar and what.startswith("1: "):
            what = what.removeprefix("1: ").partition("; 0: ")[0]
        return f"{what} [{default}; environment: {self.variable}]".replace("%", "%%")


def setting(  # noqa: PLR0913 - each says one thing about a setting, by name
    kind: Kind[T],
    default: D,
    what: str,
    *,
    variable: str = "",
    unit: str = "",
    option: str = "",
    metavar: str = "",
    default_text: str | None = None,
    secret: bool = False,
    container: bool = True,
    repeats: bool = False,
) -> T | D:
    """Declares a setting as the default of a dataclass's field.

    With `container` False it is not passed to the migrator container, which has its own
    value or no use for it. A secret is never shown, neither in an error nor by `repr`.
    An option that `repeats` may be given several times; its kind is one of `several`.
    """
    shown = _shown(default) if default_text is None else default_text
    declared = Setting(
        "",
        variable,
        kind,
        default,
        what,
        unit,
        option,
        metavar,
        shown,
        secret,
        container,
        repeats,
    )
    made: Any = dataclasses.field(
        default=default, repr=not secret, metadata={_KEY: declared}
    )
    return made  # type: ignore[no-any-return]


def settings_of(model: type) -> tuple[Setting, ...]:
    """Returns the settings of a program's model, in order of declaration.

    The model's `WITHOUT_OPTION` names fields that are not options of this program; the
    one it calls `POSITIONAL` is given without a name.
    """
    without: frozenset[str] = getattr(model, "WITHOUT_OPTION", frozenset())
    positional: str = getattr(model, "POSITIONAL", "")
    found = []
    for field in dataclasses.fields(model):
        declared: Setting | None = field.metadata.get(_KEY)
        if declared is not None:
            option = "" if field.name in without else declared.option
            found.append(
                dataclasses.replace(
                    declared,
                    field=field.name,
                    variable=declared.variable or field.name.upper(),
                    option=field.name.upper() if field.name == positional else option,
                )
            )
    return tuple(found)


def part(model: type[T], values: object) -> T:
    """Returns those of a program's settings that belong to one base model."""
    return model(
        **{one.field: getattr(values, one.field) for one in settings_of(model)}
    )


def _shown(default: object) -> str:
    match default:
        case None | "" | ():
            return ""
        case bool():
            return str(int(default))
        case float():
            return f"{default:g}"
        case frozenset():
            return ",".join(sorted(default))
    return str(default)
