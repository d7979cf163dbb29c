"""Removing secrets from text before it leaves the machine or is written. Pure.

Secrets are recognised by their values (`secret_values`), by what they are called, by
the formats of those who issue them, and by looking random.
"""

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise

from auto_monitor.decide.secret_values import all_forms, is_secret_name

#: Bits per character above which a long word is too random to be a word.
ENTROPY = 3.5
#: Changes between small, capital and digit, per character, from which on a word is
#: random: with capitals, and without.
CHANGES, CHANGES_SMALL = 0.36, 0.3
MASK = "[secret]"

# -- what is called a secret ----------------------------------------------------------

#: These names are those of secrets whatever follows, the others only if what follows
#: looks like one: a book may be called "The Secret: A Memoir".
_STRONG = (
    r"pass(?:word|wd|phrase|code)s?|pwd|passwort|kennwort|mot[_ ]de[_ ]passe"
    r"|contrase\w+a|(?<![a-z])otp"
    r"|(?:api|access|secret|private|account|encryption|signing|shared[_-]?access|master)"
    r"[_-]?key|(?:access|auth|refresh|bearer|id|session|security|csrf|bot)[_-]?token"
    r"|client[_-]?secret|authtoken|connection[_-]?string"
)
_WEAK = (
    r"secret|token|pass|credentials?|auth|authorization|authentication|cookie"
    r"|session(?:[_-]?(?:id|key))?|signature|sig|jwt|apikey|dsn|(?<![a-z])pw"
)
_NAME = rf"[\w.-]*?(?:{_STRONG}|{_WEAK})\d*(?:[_-](?:value|raw|plain|hash|old|new))?"
_OPEN = r"(?:\\*[bru]?\\*[\"'])"
#: An escaped quote ends what an escaped quote began; inside a plain one it does not.
_QUOTED = r"(?P<q>\\*[\"'])(?P<quoted>(?>''|(?!(?P=q))(?:\\.|[^\n]))*)"

_ASSIGNED = re.compile(
    rf"(?P<head>(?<![\w.-])(?P<name>{_NAME})(?:\\*[\"']|%2[27])?\s*(?:=>|:=|=|:|%3[aAdD])"
    rf"\s*(?:%2[27])?[bru]?)(?:{_QUOTED}(?:(?P=q)|$)|(?P<plain>[^\s\"'][^\n]*|$))",
    re.IGNORECASE,
)
_PAIRED = re.compile(
    rf"(?P<head>[\"'](?:{_NAME})[\"']\s*(?:,|\s+value\s*=|\s+content\s*=)\s*[bru]?)"
    rf"{_QUOTED}(?P=q)",
    re.IGNORECASE,
)
_TAGGED = re.compile(rf"(?P<head><(?P<name>{_NAME})(?:\s[^<>]*)?>)[^<]+", re.IGNORECASE)
_OPTION = re.compile(
    rf"(?P<head>(?:^|\s)--?(?:{_NAME})\s+)(?:{_QUOTED}(?P=q)|[^\s\"'][^\s]*)",
    re.IGNORECASE,
)
#: `login reader password x`, `password is x`.
_SPOKEN = re.compile(
    r"(?P<head>\b(?:password|passwd|passphrase|token|secret|api key)"
    r"(?:\s+(?:is|was|for\s+\S+\s+is))?\s+)"
    r"(?:(?P<q>[\"'])(?P<quoted>[^\"'\n]{3,}?)(?P=q)|(?P<plain>[^\s\"',;]{6,}))",
    re.IGNORECASE,
)
_LOGIN = re.compile(
    r"(?P<head>\blogin\s+\S+\s+password\s+|\bidentified\s+(?:by|with\s+\S+\s+by)\s+"
    r"|\b(?:redis-cli\s.{0,80}?-a|ldap\w+\s.{0,80}?-w)\s+|\b(?:requirepass|AUTH)\s+(?=\S*\d)|\bsshpass\s+-p\s*|\bmysql\w*\s.{0,80}?-p(?=\S)"
    r"|(?<![\w-])(?:-u|-U|--user|--proxy-user)[\s=]*(?P<q>[\"'])?[^\s:\"']+:)"
    r"(?(q)(?:(?!(?P=q))[^\n])+|(?:'[^']*'|\"[^\"]*\"|[^\s\"']+))",
    re.IGNORECASE,
)
#: The whole value of a header is secret, up to the quote or the line's end.
_HEADER = re.compile(
    r"(?P<head>(?<![\w-])(?:(?:proxy-)?authorization|(?:set-)?cookie(?=\W{1,5}[^=\n]*=)|x-[\w-]*"
    r"(?:key|token|secret|auth)[\w-]*|private-token|api-key)\\*[\"']?\s*[:=]\s*"
    r"(?P<q>\\*[\"'])?)(?P<value>(?(q)(?:(?!(?P=q))[^\n])+|[^\n\"']+))",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    r"(?P<head>\b(?:bearer|token|digest|negotiate|ntlm|apikey)\s+)(?P<plain>[\w.~+/=-]{6,})",
    re.IGNORECASE,
)

# -- formats of those who issue them -----------------------------------------------------

_ISSUED = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----"
    r"(?s:.*?-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|.*)"
    r"|\bAGE-SECRET-KEY-1\w+"
    r"|\beyJ[\w-]{5,}(?:\.[\w-]*){0,4}"
    r"|\b(?:sk|pk|rk|whsec|ghp|gho|ghu|ghs|ghr|github_pat|gl[a-z]{2,5}|xox[a-z]|xapp"
    r"|hf|npm|pypi|dop_v1|doo_v1|shp(?:at|ca|pa|ss)|sq0\w{3}|hvs|hvb|ATATT\w*|key|SG"
    r"|ya29|GOCSPX|dckr_pat|lin_api|figd|pat|glc|sntrys|sbp|AKC)"
    r"[-_.](?=[\w.-]*\d)[\w.-]{8,}"
    r"|\b(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{8,}\b"
    r"|\bAIza[\w-]{20,}"
    r"|\b(?:AC|SK)[0-9a-f]{32}\b"
    r"|(?<!\d)\d{8,10}:[\w-]{30,}"
    r"|\b[\w~]{3}\d?Q~[\w.~-]{20,}"
    r"|\b[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{25,}"
    r"|\b[0-9a-f]{32}-us\d{1,2}\b"
    r"|\$(?:\d|2[abxy]|y|argon2\w+|scrypt)\$[^\s\"']{8,}"
)
_HOOK = re.compile(
    r"(?P<head>https?://[^\s\"'<>]{0,100}?(?:web[-_]?hooks?|hooks?|services|workflows)"
    r"[\w.-]*(?:/[A-Za-z]+)*/)(?P<plain>[^\s\"'<>]{8,})",
    re.IGNORECASE,
)
#: The first @ after a host and port belongs to the path, not to a login.
_USERINFO = re.compile(
    r"(?<=://)(?:[^\s<>@/:?#]*:(?!\d{1,5}(?:[/?#\s]|$))"
    r"(?:[^\s<>]*|[^\n<>@/\"']{1,40})|[^\s/@'\"<>]+)@(?=[\w\[-])"
)
#: The same without a scheme, as rsync and mount have it.
_AT_HOST = re.compile(r"(?P<head>(?<![\w.:/-])[\w.-]+:)(?P<plain>[^\s@/:]{5,})(?=@\w)")
_IN_QUERY = re.compile(
    r"(?P<head>[?&](?:[\w.-]*(?:key|token|secret|pass|pwd|auth|sig|signature"
    r"|credential|code|session|password|passwd)[\w.-]*)=)[^\s&#\"'<>]+",
    re.IGNORECASE,
)

# -- what looks random ----------------------------------------------------------------

_HEX = re.compile(r"(?<![\w-])(?:0x)?(?:[0-9a-f]{32,}|[0-9A-F]{32,})(?![\w-])")
_WORD = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_BASE64 = re.compile(r"(?<![\w+/-])[A-Za-z0-9+/_-]{8,}={0,2}")
_HARMLESS = re.compile(
    r"[0-9a-f]{40}(?:\.\w+)?|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|[\d_+/=-]+|[a-z_/-]+|[A-Z_/-]+"
)
#: A part of a path or a name as people write it: letters, then perhaps a number.
#: Random text has digits inside.
_PART = re.compile(
    r"[A-Za-z]*\d{0,6}|\d{1,6}[A-Za-z]{0,3}|[0-9a-f]{1,12}"
    r"|[a-z]?\d{1,14}[a-z]{0,3}"
)
_LOGIN_TEXT = re.compile(r"[\x21-\x39\x3b-\x7e]{2,}:[\x20-\x7e]{4,}")


def redact(text: str, values: Iterable[str]) -> str:
    """Removes these values, in all their forms, and everything that looks like a secret.

    Keeps SHA-1s and UUIDs.
    """
    text = without_values(text, values)
    text = _ISSUED.sub(MASK, text)
    text = _USERINFO.sub(f"{MASK}@", text)
    text = _HOOK.sub(_hook, text)
    text = _HEADER.sub(rf"\g<head>{MASK}", text)
    for pattern in (_IN_QUERY, _PAIRED, _TAGGED, _LOGIN, _OPTION):
        text = pattern.sub(rf"\g<head>{MASK}", text)
    text = _assignments(text)
    for pattern in (_SCHEME, _SPOKEN, _AT_HOST):
        text = pattern.sub(_if_it_looks_secret, text)
    text = _HEX.sub(_masked_if(lambda word: len(word) != 40), text)
    text = _BASE64.sub(_masked_if(_is_login), text)
    return _WORD.sub(_masked_if(_random), text)


def without_values(text: str, values: Iterable[str]) -> str:
    """Removes only these values, in all their forms."""
    for form in all_forms(frozenset(values)):
        text = text.replace(form, MASK)
    return text


def _masked_if(secret: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
    return lambda match: MASK if secret(match[0]) else match[0]


# -- values with a name ---------------------------------------------------------------

_IS_STRONG = re.compile(rf"(?:{_STRONG})\d*", re.IGNORECASE)
#: What a value without quotes ends at: a separator, or the next name of a list.
_VALUE_ENDS = re.compile(r"[,;&|)}\]>]|%26|\s+[\w.-]+\s*[=:](?!=)|\s[-–]\s")
_WORD_ENDS = re.compile(r"(?<!\\)[\s,;&|)}\]>]|%2[267]")
_COUNTED = re.compile(
    r"(?:[-+]?\d[\d.]*|\d{4}-\d{2,4}|None|null|true|false|\*+)\W*", re.IGNORECASE
)


def _assignments(text: str) -> str:
    """Masks the values of names that are a secret's; keeps what is said after them."""
    done: list[str] = []
    place = 0
    while (match := _ASSIGNED.search(text, place)) is not None:
        start, end = match.span("quoted" if match["plain"] is None else "plain")
        if match["plain"] is not None:
            end = start + _value_length(match["name"], match["head"], match["plain"])
        sign = match["head"].rstrip().rstrip("bru")[-1:]
        quoted = match["plain"] is None
        value = text[start:end]
        secret = not text.startswith(MASK, start) and _is_secret_value(
            match["name"], value, "=" if quoted else sign
        )
        done += [text[place:start], MASK if secret else ""]
        # Another name may stand in what is no secret.
        place = end if secret else start
        if place == match.start():
            break
    return "".join(done) + text[place:]


def _value_length(name: str, head: str, plain: str) -> int:
    """Returns how much of what follows a name is its value, without quotes.

    Only a password may have blanks: in an environment, a URL or a token nothing may.
    """
    one_word = (
        not re.search(r"pass|pwd|secret|wort", name, re.IGNORECASE)
        or name.isupper()
        or "%3" in head[-4:].lower()
    )
    end = (_WORD_ENDS if one_word else _VALUE_ENDS).search(plain)
    return len(plain) if end is None else end.start()


def _is_secret_value(name: str, value: str, sign: str) -> bool:
    """Whether this is the secret that a name promises."""
    first = (value.split() or [""])[0]
    if len(value) < 3 or _is_place(name, value):
        return False
    strong = bool(_IS_STRONG.search(name))
    if _COUNTED.fullmatch(first):
        return strong and first.isdigit()
    return sign != ":" or strong or _looks_secret(first)


def _is_place(name: str, value: str) -> bool:
    """Whether a name says where something is, or who wrote it."""
    if name.lower().endswith("pwd"):
        return value.startswith("/")
    return value.startswith("/") and not is_secret_name(name)


def _if_it_looks_secret(match: re.Match[str]) -> str:
    plain = match.groupdict().get("plain")
    secret = plain is None or _looks_secret(plain)
    return f"{match['head']}{MASK}" if secret else match[0]


def _looks_secret(word: str) -> bool:
    """Whether no word of a language looks like that: letters and digits in one."""
    word = word.strip("\"'.,;:!?()[]")
    if len(word) < 5 or re.search(r"[()\[\]{}]", word) or _PLAIN_WORD.fullmatch(word):
        return False
    parts = re.split(r"[\W_]+", word)
    if len(parts) > 2 and all(_PART.fullmatch(part) for part in parts):
        return False
    return bool(re.search(r"[A-Za-z]", word) and re.search(r"\d", word))


#: `2nd`, `1984s`, `(2019)`, `Vol.2`, `7/EPUB`.
_PLAIN_WORD = re.compile(
    r"\d+(?:st|nd|rd|th|s)?|[A-Za-z]+\.\d+|\d+/[A-Z0-9]+|\d+:\d+.*"
)


def _hook(match: re.Match[str]) -> str:
    secret = re.search(r"\d", match["plain"]) and re.search(r"[A-Za-z]", match["plain"])
    return f"{match['head']}{MASK}" if secret else match[0]


# -- words without a name -------------------------------------------------------------


def _is_login(word: str) -> bool:
    """Whether this is Base64 of `user:password`."""
    plain = word.rstrip("=").replace("-", "+").replace("_", "/")
    whole = plain[: len(plain) - (len(plain) % 4 == 1)]
    try:
        said = base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True)
        return bool(_LOGIN_TEXT.fullmatch(said.decode("ascii")))
    except (binascii.Error, UnicodeDecodeError):
        return False


def _random(word: str) -> bool:
    if _HARMLESS.fullmatch(word) or not (
        re.search(r"\d", word) and re.search(r"[A-Za-z]", word)
    ):
        return False
    if all(_PART.fullmatch(part) for part in re.split(r"[/=_+-]+", word)):
        return False
    counts = Counter(word)
    bits = -sum(n / len(word) * math.log2(n / len(word)) for n in counts.values())
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in word]
    changes = sum(a != b for a, b in pairwise(kinds)) / len(word)
    enough = CHANGES if "u" in kinds and "l" in kinds else CHANGES_SMALL
    return bits >= ENTROPY and changes >= enough
