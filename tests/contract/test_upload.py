"""Check and upload: what is said before and after a file is sent."""

import socket
from urllib.parse import urlsplit

import pytest

from tests.support.servers.shelfkit import Server, digest, epub

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("contract")]


def test_check_says_ok_for_a_new_epub(server: Server) -> None:
    """By MIME type and extension."""
    assert server.check(epub()) == {"result": "ok"}


def test_check_refuses_a_file_that_is_too_big(server: Server) -> None:
    """The limit is 100 MB or 500 MB, depending on the server's settings."""
    assert server.check(b"", size=700 * 1024 * 1024) == {"error": "file too big"}


def test_check_refuses_an_unknown_format_and_names_it(server: Server) -> None:
    """Neither MIME type nor extension is known."""
    answer = server.check(epub(), extension="cbz", mime="application/x-format-cbz")
    assert answer == {
        "error": "unsupported file type application/x-format-cbz, extension cbz"
    }


def test_a_known_extension_is_enough(server: Server) -> None:
    """MIME type and extension are alternatives."""
    assert server.check(epub(), mime="application/x-format-epub") == {"result": "ok"}


def test_check_knows_what_was_attached_by_lower_case_hash_only(server: Server) -> None:
    """`file already exists`, for size and SHA-1 in lower case."""
    data = epub()
    server.with_file(data)
    assert server.check(data) == {"error": "file already exists"}
    assert server.check(data, hash=digest(data).upper()) == {"result": "ok"}
    assert server.check(data, size=len(data) + 1) == {"result": "ok"}


def test_an_upload_that_was_not_attached_is_not_there(server: Server) -> None:
    """Only sources count, so an upload may be repeated."""
    data = epub()
    assert server.upload(data).json()["result"] == "ok"
    assert server.check(data) == {"result": "ok"}


def test_an_upload_answers_with_the_name_for_the_metadata_task(server: Server) -> None:
    """A random folder and the file name."""
    answer = server.upload(epub(), "0123abcd.epub").json()
    assert answer["result"] == "ok"
    assert answer["file"].endswith("/0123abcd.epub")


def test_an_upload_of_bytes_that_are_attached_is_refused(server: Server) -> None:
    """The check is made again on the real bytes."""
    data = epub()
    server.with_file(data)
    assert server.upload(data).json() == {"error": "file already exists"}


def test_an_upload_of_an_unknown_format_is_refused(server: Server) -> None:
    """After the bytes were sent."""
    answer = server.upload(b"abc", "x.cbz", "application/x-format-cbz").json()
    assert answer == {
        "error": "unsupported file type application/x-format-cbz, extension cbz"
    }


def test_an_upload_without_the_part_named_file_is_refused(server: Server) -> None:
    """HTTP 400."""
    answer = server.call(
        "POST",
        "/api/upload",
        files={"other": ("x.epub", b"abc", "application/epub+zip")},
    )
    assert answer.status_code == 400


def test_an_upload_of_nothing_fails(server: Server) -> None:
    """HTTP 500, or an error."""
    answer = server.upload(b"")
    assert answer.status_code >= 400 or "error" in answer.json()


def test_a_body_over_the_limit_is_413_or_a_closed_connection(server: Server) -> None:
    """Decided from Content-Length, before the body is read."""
    place = urlsplit(server.url)
    head = (
        f"POST /api/upload HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: bearer "
        f"{server.token}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: "
        f"{700 * 1024 * 1024}\r\n\r\n--x\r\n"
    )
    with socket.create_connection(
        (place.hostname or "", place.port or 80), timeout=30
    ) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(4096).decode("latin-1")
    assert " 413 " in answer.splitlines()[0]
