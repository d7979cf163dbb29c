"""The task engine: frames, interleaving, sessions; the tasks `metadata` and `cover`."""

import json
import uuid

import pytest

from tests.support.servers.shelfkit import (
    Server,
    digest,
    epub,
    frames_until_end,
    picture,
    title,
)

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("contract")]


def test_a_call_is_accepted_started_and_ends_with_its_result(server: Server) -> None:
    """r, m started, m success; the call's id is echoed, the result is the upload's
    id."""
    file = server.upload(epub()).json()["file"]
    socket = server.socket()
    socket.send(json.dumps([7, "metadata", {"args": [file]}]))
    frames = frames_until_end(socket, 7)
    socket.close()
    assert [frame[0] for frame in frames] == ["r", "m", "m"]
    assert [frame[2]["status"] for frame in frames[1:]] == ["started", "success"]
    assert isinstance(frames[-1][2]["result"], int)


def test_an_unknown_task_is_refused(server: Server) -> None:
    """e, and nothing after it."""
    socket = server.socket()
    socket.send(json.dumps([1, "nosuch", {"args": []}]))
    frames = frames_until_end(socket, 1)
    socket.close()
    assert frames[0][:3] == ["e", 1, "No task with name nosuch"]


def test_text_that_is_no_call_gets_no_answer_and_the_connection_stays(
    server: Server,
) -> None:
    """The next call is answered."""
    socket = server.socket()
    socket.send("this is not JSON")
    socket.send(json.dumps({"an": "object"}))
    socket.send(json.dumps([5, "nosuch", {}]))
    assert json.loads(socket.recv())[:2] == ["e", 5]
    socket.close()


def test_two_calls_may_be_under_way_on_one_connection(server: Server) -> None:
    """Each gets its own result."""
    files = [server.upload(epub()).json()["file"] for _ in range(2)]
    socket = server.socket()
    for number, file in enumerate(files):
        socket.send(json.dumps([number, "metadata", {"args": [file]}]))
    ends: dict[int, int] = {}
    while len(ends) < 2:
        frame = json.loads(socket.recv())
        if frame[0] == "m" and frame[2]["status"] == "success":
            ends[frame[1]] = frame[2]["result"]
    socket.close()
    assert set(ends) == {0, 1}
    assert ends[0] != ends[1]


def test_a_session_that_comes_back_gets_the_result_it_missed(server: Server) -> None:
    """The connection goes after the call was accepted; the same session id brings the
    result."""
    file = server.upload(epub()).json()["file"]
    session = uuid.uuid4().hex
    socket = server.socket(session)
    socket.send(json.dumps([3, "metadata", {"args": [file]}]))
    assert json.loads(socket.recv())[0] == "r"
    socket.close()
    again = server.socket(session)
    frames = frames_until_end(again, 3)
    again.close()
    assert frames[-1][2]["status"] == "success"


def test_proposed_metadata_wins_key_by_key_and_is_resolved(server: Server) -> None:
    """Genres get their ids, the language its id; what is unknown stays without one."""
    proposed = {
        "title": "Proposed Title",
        "authors": [{"last_name": "Other", "first_name": "Some"}],
        "genres": [{"name": "horror"}, {"name": "No Such Genre"}],
        "language": {"code": "ru"},
        "series": {"title": "A Series"},
        "series_index": 7,
    }
    data = epub(subject="Adventure")
    record = server.extracted(data, proposed)
    meta = record["meta"]
    assert (record["hash"], record["size"]) == (digest(data), len(data))
    assert meta["title"] == "Proposed Title"
    assert [author["last_name"] for author in meta["authors"]] == ["Other"]
    assert meta["genres"][0] == {"id": server.genre_id("Horror"), "name": "Horror"}
    assert meta["genres"][1] == {"name": "No Such Genre"}
    assert meta["language"]["id"] == server.language_id("ru")
    assert (meta["series"]["title"], meta["series_index"]) == ("A Series", 7)


def test_what_is_not_proposed_comes_from_the_file(server: Server) -> None:
    """Title and author of the EPUB."""
    meta = server.extracted(epub(book_title="From The File", author="Ann Probe"), {})[
        "meta"
    ]
    assert meta["title"] == "From The File"
    assert (meta["authors"][0]["last_name"], meta["authors"][0]["first_name"]) == (
        "Probe",
        "Ann",
    )


def test_a_proposed_series_of_null_breaks_the_task(server: Server) -> None:
    """So the worker leaves keys without a value out."""
    file = server.upload(epub()).json()["file"]
    assert server.task("metadata", file, {"series": None})["status"] == "error"


def test_metadata_of_a_file_that_is_not_there_ends_with_an_error(
    server: Server,
) -> None:
    """The file was cleaned up, or never existed."""
    assert server.task("metadata", "tmp00000000/x.epub", {})["status"] == "error"


def test_known_authors_and_series_come_back_with_their_ids(server: Server) -> None:
    """That is how a worker learns the ids of names the server has."""
    last, series = uuid.uuid4().hex[:12], uuid.uuid4().hex[:12]
    proposed = {
        "title": "x",
        "authors": [{"last_name": last, "first_name": "Ann"}],
        "series": {"title": series},
    }
    before = server.extracted(epub(), proposed)["meta"]
    assert "id" not in before["authors"][0]
    assert "id" not in before["series"]
    server.ebook(authors=proposed["authors"], series=proposed["series"], series_index=1)
    after = server.extracted(epub(), proposed)["meta"]
    assert isinstance(after["authors"][0]["id"], int)
    assert isinstance(after["series"]["id"], int)


def test_a_cover_can_be_set_afterwards(server: Server) -> None:
    """upload-cover, then the task with the ebook's id."""
    ebook_id, _source = server.with_file(epub(), title=title())
    sent = server.call(
        "POST",
        "/api/upload-cover",
        files={"file": ("cover.jpg", picture(), "image/jpeg")},
    ).json()
    assert sent["result"] == "ok"
    assert server.task("cover", sent["file"], ebook_id)["result"] == ebook_id
    assert server.call("GET", f"/api/ebooks/{ebook_id}").json()["cover"] is True
    cover = server.call("GET", f"/api/ebooks/{ebook_id}/cover")
    assert (cover.status_code, cover.headers["Content-Type"]) == (200, "image/jpeg")
    assert server.call("GET", f"/thumb/{ebook_id}").status_code == 200


def test_only_pictures_are_taken_as_covers(server: Server) -> None:
    """By MIME type."""
    answer = server.call(
        "POST", "/api/upload-cover", files={"file": ("x.txt", b"abc", "text/plain")}
    ).json()
    assert answer == {"error": "Invalid file type text/plain"}
