"""A database with the tables that the direct lane writes, by our own description of
them, and a server that shows its uploads."""

import hashlib
import io
import json
import re
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from migration.model import (
    BookId,
    Digest,
    EbookId,
    EbookMetadata,
    FileId,
    PersonName,
    SourceId,
)
from migration.server.direct import schema
from migration.server.direct.batch import Drawn, NewBook, NewFile, Placed
from migration.server.direct.rows import Choice
from migration.server.http.responses import Response
from tests.support.servers.postgreskit import Postgres

#: The uuid of the library that is migrated.
LIBRARY = "1a2b3c4d-0000-4000-8000-000000000000"
#: The users by id; `migrator` logs in.
USERS = {1: "admin", 2: "migrator", 3: "librarian"}
#: The login and the owner of what is written.
CHOICE = Choice(login=2, owner=2, library=LIBRARY, description="From Calibre")
FORMATS = {"pdf": 1, "txt": 2, "epub": 8, "mobi": 6}
GENRES = {9: "Fantasy", 25: "Science Fiction"}

#: What belongs to the tables beside their columns.
_KEYS = """
ALTER TABLE ebook ADD FOREIGN KEY (language_id) REFERENCES language,
    ADD FOREIGN KEY (series_id) REFERENCES series;
ALTER TABLE ebook_authors ADD PRIMARY KEY (ebook_id, author_id),
    ADD FOREIGN KEY (ebook_id) REFERENCES ebook ON DELETE CASCADE,
    ADD FOREIGN KEY (author_id) REFERENCES author ON DELETE CASCADE;
ALTER TABLE ebook_genres ADD PRIMARY KEY (ebook_id, genre_id),
    ADD FOREIGN KEY (ebook_id) REFERENCES ebook ON DELETE CASCADE,
    ADD FOREIGN KEY (genre_id) REFERENCES genre ON DELETE CASCADE;
ALTER TABLE source ADD FOREIGN KEY (ebook_id) REFERENCES ebook ON DELETE CASCADE,
    ADD FOREIGN KEY (format_id) REFERENCES format;
ALTER TABLE ebook_rating ADD FOREIGN KEY (ebook_id) REFERENCES ebook;
ALTER TABLE upload ADD FOREIGN KEY (format_id) REFERENCES format;
ALTER TABLE bookshelf_item ADD FOREIGN KEY (bookshelf_id) REFERENCES bookshelf,
    ADD FOREIGN KEY (ebook_id) REFERENCES ebook;
CREATE INDEX ON ebook_authors (author_id);
CREATE INDEX ON ebook USING gin (full_text);
CREATE TEXT SEARCH CONFIGURATION custom (COPY = simple);
"""
#: Columns of tables that are only read, as far as prepare_server looks at them.
_READ = """
CREATE SEQUENCE language_id_seq START 100;
ALTER TABLE language ADD version_id integer, ADD name varchar(64),
    ALTER id SET DEFAULT nextval('language_id_seq');
ALTER SEQUENCE language_id_seq OWNED BY language.id;
ALTER TABLE format ADD mime_type varchar(128);
ALTER TABLE version ADD id bigserial;
ALTER TABLE "user" ADD password varchar(128), ADD email varchar(128);
CREATE TABLE synonym (id bigserial PRIMARY KEY, other_name varchar(512),
    our_name varchar(512), category varchar(3));
"""
#: The text a book is found by, and who keeps it: as the server's do, each row's trigger
#: writes the ebook again, by unqualified names.
_SEARCH = """
CREATE FUNCTION ebook_full_title(bigint) RETURNS varchar STABLE LANGUAGE sql AS $$
    SELECT concat(
        (SELECT string_agg(concat_ws(' ', p.first_name, p.last_name), ', ' ORDER BY p.id)
            FROM author p JOIN ebook_authors w ON w.author_id = p.id
            WHERE w.ebook_id = $1),
        ': ', x.title,
        (SELECT format(' (%s %s)', y.title, coalesce(x.series_index, 0)) FROM series y
            WHERE y.id = x.series_id))
    FROM ebook x WHERE x.id = $1
$$;
CREATE FUNCTION refresh(bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    UPDATE ebook SET full_text = to_tsvector('custom', ebook_full_title($1))
    WHERE id = $1;
END $$;
CREATE FUNCTION update_ebook_full_text() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM refresh(NEW.id); RETURN NULL;
END $$;
CREATE FUNCTION update_ebook_full_text2() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM refresh(coalesce(NEW.ebook_id, OLD.ebook_id)); RETURN NULL;
END $$;
CREATE FUNCTION update_ebook_full_text3() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM refresh(x.id) FROM ebook x WHERE x.series_id = NEW.id; RETURN NULL;
END $$;
CREATE FUNCTION update_ebook_full_text4() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM refresh(w.ebook_id) FROM ebook_authors w WHERE w.author_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER ebook_ts_insert AFTER INSERT ON ebook FOR EACH ROW
    EXECUTE FUNCTION update_ebook_full_text();
CREATE TRIGGER ebook_ts_update AFTER UPDATE ON ebook FOR EACH ROW
    WHEN ((NEW.title, NEW.series_id) IS DISTINCT FROM (OLD.title, OLD.series_id))
    EXECUTE FUNCTION update_ebook_full_text();
CREATE TRIGGER ebook_ts_update AFTER INSERT OR UPDATE OR DELETE ON ebook_authors
    FOR EACH ROW EXECUTE FUNCTION update_ebook_full_text2();
CREATE TRIGGER ebook_ts_update AFTER UPDATE ON series FOR EACH ROW
    EXECUTE FUNCTION update_ebook_full_text3();
CREATE TRIGGER ebook_ts_update AFTER UPDATE ON author FOR EACH ROW
    EXECUTE FUNCTION update_ebook_full_text4();
"""


def tables() -> str:
    """SQL that makes the tables of `schema` with their sequences."""
    parts = ["CREATE TYPE \"BOOKSHELF_ITEM_TYPE\" AS ENUM ('EBOOK', 'SERIES');"]
    for name, columns in {**schema.WRITTEN, **schema.READ}.items():
        defined = ", ".join(
            f'"{column}" {_type(name, column, one)}' for column, one in columns.items()
        )
        parts.append(f'CREATE TABLE "{name}" ({defined});')
    return "\n".join(parts)


def _type(table: str, column: str, one: schema.Column) -> str:
    if column == "id":
        return (
            "bigserial PRIMARY KEY"
            if table in schema.NUMBERED
            else "bigint PRIMARY KEY"
        )
    return f"{one.type}{' NOT NULL' if one.required else ''}"


#: One database for all of a module's tests, of which each takes a copy.
def template(server: Postgres) -> str:
    """Makes the database that `copy_of` copies; returns its name."""
    with psycopg.connect(server.create("direct"), autocommit=True) as db:
        for part in (tables(), _READ, _KEYS, _SEARCH):
            db.execute(part.encode())
        db.execute("INSERT INTO version (version) VALUES (2)")
        for number, name in USERS.items():
            db.execute('INSERT INTO "user" VALUES (%s, %s, true)', (number, name))
        for extension, number in FORMATS.items():
            db.execute("INSERT INTO format VALUES (%s, %s)", (number, extension))
        for number, name in GENRES.items():
            db.execute("INSERT INTO genre VALUES (%s, %s)", (number, name))
        db.execute("INSERT INTO language VALUES (2, 'en'), (4, 'ru')")
    return "direct"


_NUMBERS = count(1)


def copy_of(server: Postgres, name: str) -> str:
    """Returns the URI of a fresh copy."""
    return server.create(f"direct{next(_NUMBERS)}", name)


# -- books -----------------------------------------------------------------------------


def metadata(**more: Any) -> EbookMetadata:
    """A book's metadata, as the server takes it."""
    given: dict[str, Any] = {
        "title": "The Raven",
        "working_title": "The Raven ~1a2b3c4d-1",
        "authors": (PersonName("Doe", "Jane"),),
        "series": None,
        "series_index": None,
        "language_id": 2,
        "language_code": "en",
        "genres": ((9, "Fantasy"),),
        "rating": None,
    }
    return EbookMetadata(**{**given, **more})


def digest_of(text: str) -> Digest:
    """The digest of bytes that need not be anywhere."""
    return Digest(hashlib.sha1(text.encode()).hexdigest(), 1000 + len(text))


def placed(
    number: int,
    ids: tuple[int, tuple[int, ...]],
    *,
    formats: tuple[str, ...] = ("EPUB",),
    cover: bool = True,
    book: dict[str, Any] | None = None,
    **more: Any,
) -> Placed:
    """A book on its way, with the ids of its ebook and its sources; `more` is of its
    metadata, `book` of the book."""
    files = tuple(
        NewFile(
            FileId(BookId(number), one), f"b/{number}.{one}".encode(), 5, 6, one.lower()
        )
        for one in formats
    )
    ebook, sources = ids
    folder = f"Doe Jane/Book {ebook}(en)"
    drawn = Drawn(
        NewBook(BookId(number), metadata(**more), files, b"c.jpg", **(book or {})),
        EbookId(ebook),
        tuple(map(SourceId, sources)),
        folder,
        tuple(f"{folder}/Doe Jane - Book.{one.extension}" for one in files),
    )
    digests = tuple(digest_of(str(one.id)) for one in files)
    return Placed(drawn, digests, f"{folder}/cover.jpg" if cover else None, "ab" * 20)


# -- a server --------------------------------------------------------------------------


@dataclass(slots=True)
class ShowsUploads:
    """A server that keeps uploads in a folder and shows what its database says."""

    uri: str
    folder: Path
    user_id: str = "2"
    server: str = "http://127.0.0.1:6006"
    asked: list[str] = field(default_factory=list)

    def access_token(self) -> str:
        return "a.b.c"

    def call(
        self,
        method: str,
        path: str,
        body: None = None,
        *,
        upload: tuple[Any, str] | None = None,
        once: bool = False,
    ) -> Response:
        assert body is None
        self.asked.append(f"{method} {re.sub('[0-9]+', 'N', path)}")
        if upload is not None:
            assert once
            return self._keep(upload[0])
        number = int(re.findall(r"/(\d+)", path)[0])
        with psycopg.connect(self.uri) as db:
            row = db.execute(
                "SELECT hash, cover, size FROM upload WHERE id = %s", (number,)
            ).fetchone()
        if row is None:
            return Response(404, None)
        if not path.endswith("/cover"):
            return Response(200, {"id": number, "hash": row[0], "size": row[2]})
        data = (self.folder / row[1]).read_bytes()
        return Response(200, {"sha1": hashlib.sha1(data).hexdigest()})

    def _keep(self, body: Any) -> Response:
        sent = io.BytesIO()
        while block := body.read(1 << 16):
            sent.write(block)
        head, _, rest = sent.getvalue().partition(b"\r\n\r\n")
        found = re.search(rb'filename="([^"]+)"', head)
        assert found is not None
        name = f"tmp{len(self.asked)}/{found[1].decode()}"
        path = self.folder / name
        path.parent.mkdir()
        path.write_bytes(rest.rpartition(b"\r\n--")[0])
        return Response(200, json.loads(json.dumps({"result": "ok", "file": name})))
