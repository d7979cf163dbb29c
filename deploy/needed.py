"""What the profiles of docker-compose.yml cannot do without.

Only the standard library, and nothing newer than Python 3.8, as in `check_env`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_HOW = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
#: Required variables by profile, with what each is for.
NEEDED: dict[str, dict[str, str]] = {
    "": {
        "CALIBRE_LIBRARY": "the folder with Calibre's metadata.db",
        "MBS2_PASSWORD": "the password of MBS2_USERNAME on the server",
    },
    "embedded": {},
    "migrate": {},
    "watch": {},
    "server": {
        "MBS2_CODE": "your checkout of MyBookshelf2",
        "POSTGRES_PASSWORD": f"the password of the database's superuser; {_HOW}",
        "MBS2_DB_PASSWORD": f"the password of the server's own database user; {_HOW}",
        "MBS2_SECRET_KEY": f"signs access tokens; {_HOW}",
        "MBS2_SECRET_KEY2": f"signs refresh tokens; {_HOW}",
        "MBS2_DELEGATED_TOKEN": f"app and backend know each other by it; {_HOW}",
    },
}
#: Every secret of docker-compose.yml: NAME_FILE names a file that holds it.
SECRETS = (
    "ALERT_WEBHOOK_URL",
    "MBS2_DB_PASSWORD",
    "MBS2_DB_URI",
    "MBS2_DELEGATED_TOKEN",
    "MBS2_PASSWORD",
    "MBS2_SECRET_KEY",
    "MBS2_SECRET_KEY2",
    "OPENAI_API_KEY",
    "POSTGRES_PASSWORD",
)


def missing(
    environment: Mapping[str, str], profiles: Iterable[str]
) -> list[tuple[str, str]]:
    """Returns the variables not set for these profiles, each with what it is for."""
    needed = [
        item for profile in ("", *profiles) for item in NEEDED.get(profile, {}).items()
    ]
    return [(name, what) for name, what in needed if not is_given(environment, name)]


def is_given(environment: Mapping[str, str], name: str) -> bool:
    """Whether a variable is set; a secret may be in a file."""
    names = (name, f"{name}_FILE") if name in SECRETS else (name,)
    return any(environment.get(one, "").strip() for one in names)


def without(name: str) -> str:
    """What a container says that was started without a variable all of them need."""
    return f"set {name} in .env, {NEEDED[''][name]}"
