"""No secret leaves the machine."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.decide.redact import MASK, redact, without_values
from auto_monitor.decide.secret_values import all_forms, secret_values
from benchmarks.faults.redaction import DAMAGED, THROUGH
from tests.support.monitor.redactkit import ENVIRONMENT, leaks, readable

SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
UUID = "123e4567-e89b-12d3-a456-426614174000"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef123456",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl here",
        "key sk-proj-abcdefghij1234567890",
        "postgresql://reader:hunter2secret@db:5432/x",
        'password="hunter2secret"',
        "api_key=hunter2secret&x=1",
        "random A9x7Qp2Lm4Zt8Vb3Nk6Rw1Ys5Hd0Jf",
        "with slashes A9x7Qp2Lm4/Zt8Vb3Nk6/Rw1Ys5Hd0Jf",
    ],
)
def test_what_looks_like_a_secret_goes(text: str) -> None:
    """By pattern."""
    cleaned = redact(text, ())
    assert MASK in cleaned
    for secret in (
        "abcdef123456",
        "c2lnbmF0dXJl",
        "hunter2secret",
        "A9x7Qp2Lm4",
        "abcdefghij1234567890",
    ):
        assert secret not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        SHA1,
        f"{SHA1}.epub",
        UUID,
        "01234567-89ab-cdef-0123-456789abcdef",
        "AbCdEfGhIjKlMnOpQrStUvWxYz",
        "0000000000000001111111111111",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaa1",
        "a1b2c3d4e5f6g7h8i9j0k1l",
        "Querying Calibre database: books 1001-2000",
        "2026-11-24 12:00:00,000 - INFO - Uploaded 7/EPUB 'A Rather Long Title "
        "Without Numbers At All'",
        "/home/me/Calibre Library/Some_Author/Some_Book (12)/Some_Book - Some_Author.epub",
        "http://127.0.0.1:6006/api/ebooks/index/x",
        "PWD=/home/me/Calibre OLDPWD=/home/me",
        'env: {"PWD": "/srv/books"}',
    ],
)
def test_what_is_none_stays(text: str) -> None:
    """Hashes, ids, log lines, paths."""
    assert redact(text, ()) == text


def test_values_are_found_by_the_names_of_their_variables() -> None:
    """Six characters or more."""
    values = secret_values(
        {
            "MBS2_PASSWORD": "correct horse",
            "OPENAI_API_KEY": "k" * 9,
            "X_TOKEN": "short",
            "HOME": "/home/somebody",
            "MBS2_DB_URI": "postgresql://x",
            "ALERT_WEBHOOK_URL": "http://hook/abc",
        }
    )
    assert values == {"correct horse", "k" * 9, "postgresql://x", "http://hook/abc"}


PLACES = {
    "PWD": "/home/me/migration",
    "OLDPWD": "/home/me/books",
    "SSH_AUTH_SOCK": "/run/user/1000/keyring/ssh",
    "XAUTHORITY": "/home/me/.Xauthority",
    "ICEAUTHORITY": "/run/user/1000/ICEauthority",
    "GIT_AUTHOR_NAME": "Jane Doe",
    "SSH_ASKPASS": "/usr/bin/ssh-askpass",
    "GNOME_KEYRING_CONTROL": "/run/user/1000/keyring",
    "MBS2_PASSWORD_FILE": "/run/secrets/mbs2",
    "CREDENTIALS_DIR": "/run/credentials",
}


@pytest.mark.parametrize("name", PLACES)
def test_a_place_is_no_secret(name: str) -> None:
    """A log line about a file below the present folder stays whole."""
    assert secret_values(PLACES) == frozenset()
    line = f"{name}={PLACES[name]}/x/metadata.db cannot be read"
    assert redact(line, secret_values(PLACES)) == line


@pytest.mark.parametrize(
    "name",
    [
        "MBS2_PASSWORD",
        "PGPASSWORD",
        "DB_PWD",
        "MYSQL_PWD",
        "REDISCLI_AUTH",
        "HTTP_AUTHORIZATION",
        "GITHUBTOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "SSH_PASSPHRASE",
        "SESSION_COOKIE",
        "SENTRY_DSN",
        "AUTH",
    ],
)
def test_names_of_secrets_stay_names_of_secrets(name: str) -> None:
    """However they are put together."""
    assert secret_values({name: "Zimmer42"}) == {"Zimmer42"}


@given(st.text(), st.text(st.characters(min_codepoint=33), min_size=6), st.text())
def test_a_known_value_never_stays(before: str, secret: str, after: str) -> None:
    """Wherever it stands, unless the mask itself holds it."""
    if secret in MASK or any(
        MASK.startswith(secret[k:]) or MASK.endswith(secret[: len(secret) - k])
        for k in range(6)
    ):
        return
    assert secret not in redact(before + secret + after, [secret]).replace(MASK, "")


# -- rates -----------------------------------------------------------------------------


def test_of_many_forms_of_secrets_at_most_two_percent_get_through() -> None:
    """More than ten times as many as were found in prompts."""
    values = secret_values(ENVIRONMENT)
    through = [one.name for one in leaks() if one.secret in redact(one.text, values)]
    assert len(leaks()) >= 180
    assert 100 * len(through) / len(leaks()) <= THROUGH, through


@pytest.mark.parametrize("kind", readable())
def test_what_is_needed_to_understand_the_trouble_stays(kind: str) -> None:
    """Titles, paths, hashes, ids, log lines: of each kind at most one in a hundred is
    touched."""
    values, texts = secret_values(ENVIRONMENT), readable()[kind]
    damaged = [text for text in texts if redact(text, values) != text]
    assert len(texts) >= 50
    assert 100 * len(damaged) / len(texts) <= DAMAGED, damaged


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "PGPASSWORD=Zimmer42 psql -h db: timed out",
            f"PGPASSWORD={MASK} psql -h db: timed out",
        ),
        (
            "GET /x?access_token=Zimmer42&page=2 HTTP 500",
            f"GET /x?access_token={MASK}&page=2 HTTP 500",
        ),
        (
            "host=db password=correct horse dbname=books",
            f"host=db password={MASK} dbname=books",
        ),
        (
            "http://reader:Zim/mer42@nas:6006/x refused",
            f"http://{MASK}@nas:6006/x refused",
        ),
        (
            '{"password": "it\\"s", "title": "Emma"}',
            f'{{"password": "{MASK}", "title": "Emma"}}',
        ),
        (
            "curl -u 'reader:a b' http://nas/x: 500",
            f"curl -u 'reader:{MASK}' http://nas/x: 500",
        ),
    ],
)
def test_what_stands_around_a_secret_stays(text: str, shown: str) -> None:
    """Where the name or the quotes say how far it goes."""
    assert redact(text, ()) == shown


@pytest.mark.parametrize(
    "text",
    [
        "password" * 3000,
        "token: " * 3000,
        "http://" * 2000,
        "://" + "a:" * 5000,
        "'password', '" * 2000,
        "-----BEGIN PRIVATE KEY-----" * 500,
        "mysql -p " * 2000,
        "A1b-" * 5000,
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.timeout(10)
def test_no_text_takes_long(text: str) -> None:
    """A server may send what it likes; here twenty times as much as a log line holds."""
    assert redact(redact(text, ()), ()) == redact(text, ())


SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8)


@given(SECRET, st.sampled_from(["'{}'", '"{}"', "{}"]))
def test_a_password_in_a_uri_is_found_alone(secret: str, around: str) -> None:
    """However a server repeats it: as it is, or encoded as in the URI."""
    uri = f"postgresql://reader:{quote(secret, safe='')}@db/books"
    said = without_values(f"failed for {around.format(secret)}", [uri])
    assert said.startswith("failed for ") and MASK in said
    assert secret not in said.replace(MASK, "")
    assert quote(secret, safe="") not in without_values(quote(secret, safe=""), [uri])


@given(st.binary(max_size=9), SECRET, st.binary(max_size=9))
def test_base64_of_a_text_with_a_secret_in_it_does_not_hold_it(
    before: bytes, secret: str, after: bytes
) -> None:
    """Wherever in it the secret begins."""
    said = base64.b64encode(before + secret.encode() + after).decode()
    assert MASK in without_values(said, [secret])


def test_forms_are_replaced_longest_first() -> None:
    """A password that is part of another leaves nothing of that."""
    forms = all_forms(frozenset({"Zimmer42", "Zimmer42-Nord"}))
    assert [len(form) for form in forms] == sorted(map(len, forms), reverse=True)
    assert without_values("Zimmer42-Nord", ["Zimmer42", "Zimmer42-Nord"]) == MASK
