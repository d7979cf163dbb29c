"""Secrets in files: `MBS2_PASSWORD_FILE` names the file that holds `MBS2_PASSWORD`.

Docker and systemd hand secrets over that way; a file is in no list of processes and in no
`docker inspect`.

Only the standard library, and nothing newer than Python 3.8, for `deploy.check_env`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

#: Every secret of the model (a test compares them). They stand here so that a worker
#: need not import the models of all programs to find them.
SECRETS = (
    "ALERT_WEBHOOK_URL",
    "MBS2_DB_URI",
    "MBS2_PASSWORD",
    "OPENAI_API_KEY",
    "PREPARE_ROLE_PASSWORD",
)
SUFFIX = "_FILE"
#: Names that say where a secret is: never handed on, since the secret itself is.
PLACES = frozenset(f"{name}{SUFFIX}" for name in SECRETS)
#: The longest secret, in bytes.
LONGEST = 64 * 1024


class Unusable(Exception):
    """A secret cannot be read from its file; the message says why."""


def resolved(
    texts: Mapping[str, str], where: str, folder: Path
) -> tuple[dict[str, str], list[str]]:
    """Returns the variables of one source with the secrets that their files hold, and a
    sentence for each that cannot be had. Relative paths begin at `folder`."""
    found, wrong = dict(texts), []
    for name in SECRETS:
        place = found.pop(f"{name}{SUFFIX}", "").strip()
        if not place:
            continue
        try:
            if found.get(name, "").strip():
                raise Unusable(f"is set, and so is {name}; leave one of them out")
            found[name] = read(place, folder)
        except Unusable as reason:
            wrong.append(f"{name}{SUFFIX}={place} {reason}; it comes from {where}")
    return found, wrong


def read(place: str, folder: Path) -> str:
    """Returns a file's only line, without its end. Raises Unusable.

    A relative path begins at `folder`, `~` is a home.
    """
    try:
        with (folder / Path(place).expanduser()).open("rb") as file:
            data = file.read(LONGEST + 1)
        text = data.decode("utf-8").rstrip("\r\n")
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Unusable(
            f"cannot be read: {reason}; name a file that this user may read"
        ) from None
    except UnicodeDecodeError:
        raise Unusable("is not text in UTF-8") from None
    if not text.strip():
        raise Unusable("is empty: the secret is its first line")
    if len(data) > LONGEST or "\n" in text:
        raise Unusable("has more than one line: a secret is one")
    return text
