"""A small bookshelf server: MyBookshelf2's protocol over SQLite, with pages to browse.

Files are kept in a directory. It speaks what a migration worker and MyBookshelf2's own
command-line client use, with the same status codes and error texts, and differs on
purpose:

* `source` has a unique (size, hash), authors and series have unique names
  (`--permissive` drops all three, for tests);
* it ships every ISO 639-1 language, and MyBookshelf2's genres with some more;
* `id` in POST /api/ebooks is refused instead of overwriting that ebook;
* no input makes it answer 5xx: where MyBookshelf2 answers 500 to a malformed request,
  it answers 400, 404 or 409, or `{"error": …}`; bodies other than uploads are at most
  64 KB, not compressed, and JSON with 64-bit numbers;
* files are stored by their content, so no title is too long or too exotic for a path;
  `location` is only shown;
* a PATCH of title and genres together works.

What it has acknowledged of ebooks and their files is on disk before it answers, and
survives `kill -9` and a power cut; an upload that is not attached yet survives `kill
-9` only.
"""
