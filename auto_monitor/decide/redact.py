"""Removing secrets from text before it leaves the machine or is written. Pure.

Secrets are recognised by their values and by their form.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping

#: Shorter values are too likely to be part of an innocent word.
SHORTEST = 6
#: Bits per character above which a long word is too random to be a word.
ENTROPY = 4.0
MASK = "[secret]"

_SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|WEBHOOK|_URI$|_DSN$|AUTH|COOKIE",
    re.IGNORECASE,
)
#: Names that contain such a word but tell where something is, or who wrote it.
_HARMLESS_NAME = re.compile(
    r"^(?:OLD)?PWD$|AUTHORITY$|AUTHOR(?:_|$)|_SOCK$|_FILE$|_DIR$|ASKPASS$|^PASSENGER_"
    r"|KEYRING|KEYBOARD|KEYMAP",
    re.IGNORECASE,
)
_PATTERNS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*"), MASK),
    (
        re.compile(
            r"\b(?:sk|pk|rk|ghp|gho|ghs|github_pat|glpat|xox[abprs])[-_][\w-]{8,}"
        ),
        MASK,
    ),
    (re.compile(r"(?<=://)[^\s/@'\"]+(?=@)"), MASK),
    (
        re.compile(
            r"(?i)\b(?!pwd\"?\s*[=:]\s*\"?/)"
            r"(password|passwd|pwd|secret|token|api[_-]?key|authorization)"
            r"(\"?\s*[=:]\s*\"?)[^\s\"',;&]{3,}"
        ),
        rf"\1\2{MASK}",
    ),
)
_WORD = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_HARMLESS = re.compile(
    r"[0-9a-f]{40}(?:\.\w+)?|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|[\d_+/=-]+|[a-z_/-]+|[A-Z_/-]+"
)
#: A part of a path as people and systems name folders: letters, then perhaps a number.
#: Random text has digits inside.
_PART = re.compile(r"[A-Za-z]*\d{0,6}")


def secret_values(environment: Mapping[str, str]) -> frozenset[str]:
    """Returns the values of variables whose names look secret.

    Names of places are excluded (`PWD`, `SSH_AUTH_SOCK`, `XAUTHORITY`): a path mistaken
    for a secret would remove every line with the user's files.
    """
    return frozenset(
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name)
        and not _HARMLESS_NAME.search(name)
        and len(value) >= SHORTEST
    )


def redact(text: str, values: Iterable[str]) -> str:
    """Removes these values and everything that looks like a secret.

    Keeps SHA-1s and UUIDs.
    """
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return _WORD.sub(lambda match: MASK if _random(match[0]) else match[0], text)


def _random(word: str) -> bool:
    if _HARMLESS.fullmatch(word) or not (
        re.search(r"\d", word) and re.search(r"[A-Za-z]", word)
    ):
        return False
    if "/" in word and all(
        _PART.fullmatch(part) for part in re.split(r"[/=_+-]+", word)
    ):
        return False
    counts = Counter(word)
    bits = -sum(n / len(word) * math.log2(n / len(word)) for n in counts.values())
    return bits >= ENTROPY
