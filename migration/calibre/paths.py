"""Finding, examining and opening files of the library without ever leaving it.

Nothing is followed: a symbolic link in any component, a `..`, an absolute path, a pipe
or a device is reported and never opened, because a recorded path is hostile input
(`books.path` = `/etc`).
"""

import errno
import itertools
import os
import re
import stat
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from common.resources import raise_if_exhausted
from common.sanitize import for_log
from migration.errors import (
    AmbiguousFile,
    MissingFile,
    NotRegular,
    OutsideLibrary,
    Rejected,
    Unreadable,
)

#: How synchronisation programs mark the second of two versions, in some languages.
_CONFLICT = re.compile(rb"[ck]onfli[ck]?t", re.IGNORECASE)
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


#: A change less than this many seconds ago may still be going on.
LATELY_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file of the library: its path there, size in bytes, mtime in ns.

    `note` says how it differs from what is recorded. `conflicted` means that its name
    is that of a synchronisation program's copy of two versions in conflict.
    """

    path: bytes
    size: int
    mtime_ns: int
    note: str = ""
    conflicted: bool = False


class Tree:
    """The library's folder.

    `root` is resolved once; everything else is accessed through its descriptor.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Closes the folder."""
        os.close(self._root)

    def find(
        self,
        folder: bytes,
        name: bytes,
        extension: bytes,
        plain: set[bytes] | None = None,
    ) -> Found:
        """Finds the file of one of Calibre's rows.

        It is looked for as recorded, then with another case or normalisation, then as
        the only one of its kind. `plain` are folders that the current listing has
        already found not to be symbolic links; new ones are added. Raises
        OutsideLibrary, MissingFile, AmbiguousFile, NotRegular or Unreadable.
        """
        suffix = b"." + extension if extension else b""
        path = _joined(folder, name + suffix)
        try:
            return self._examine(path, plain)
        except MissingFile as missing:
            there = self.folder(folder)
            if there is None:
                raise
            return self._find_renamed(there, name + suffix, suffix, missing)

    def folder(self, recorded: bytes) -> bytes | None:
        """Finds a recorded folder, allowing another case or normalisation.

        Returns None if missing. In a library that was copied to another system, every
        name may come back in another Unicode normal form.
        """
        there: list[bytes] = []
        for part in _components(recorded):
            found = self._part(b"/".join(there), part)
            if found is None:
                return None
            there.append(found)
        return b"/".join(there)

    def _part(self, above: bytes, part: bytes) -> bytes | None:
        """Returns the one folder in `above` that is called `part`.

        It is first asked for by name, because listing is slow.
        """
        prefix = above + b"/" if above else b""
        text = os.fsdecode(part)
        for spelled in dict.fromkeys(
            [
                part,
                *(
                    os.fsencode(unicodedata.normalize(form, text))
                    for form in ("NFC", "NFD")
                ),
            ]
        ):
            try:
                os.stat(prefix + spelled, dir_fd=self._root, follow_symlinks=False)
            except OSError as error:
                raise_if_exhausted(error)
                continue
            return spelled
        alike = [
            other for other in self._names(above) if _folded(other) == _folded(part)
        ]
        return alike[0] if len(alike) == 1 else None

    def _names(self, folder: bytes) -> list[bytes]:
        """Returns the names in a folder; none when it cannot be listed."""
        try:
            descriptor = self._descend(folder.split(b"/") if folder else [], folder)
        except Rejected:
            return []
        try:
            return [os.fsencode(entry.name) for entry in os.scandir(descriptor)]
        except OSError as error:
            raise_if_exhausted(error)
            return []
        finally:
            if descriptor != self._root:
                os.close(descriptor)

    def examine(self, path: bytes) -> Found:
        """Returns the regular file at exactly this path, following nothing.

        Raises as `find` does, except AmbiguousFile.
        """
        return self._examine(path)

    def names_below(self, folder: bytes, limit: int) -> list[bytes]:
        """Returns the first `limit` files below a folder, as sorted paths.

        Returns [] without a folder. Nothing is followed: a symbolic link is listed by
        its name. Raises Unreadable, NotRegular or OutsideLibrary.
        """
        parts = _components(folder)
        try:
            os.stat(folder, dir_fd=self._root, follow_symlinks=False)
            descriptor = self._descend(parts, folder)
        except (FileNotFoundError, NotADirectoryError, MissingFile):
            return []
        except OSError as error:
            raise _meaning(error, folder) from error
        try:
            return sorted(itertools.islice(_files_below(descriptor), limit))
        finally:
            os.close(descriptor)

    def changed_lately(self, path: bytes) -> bool:
        """Whether the folder that a path would be in was changed within seconds.

        Of its folders the deepest existing one is checked. With a wrong clock the
        answer is False.
        """
        parts = path.split(b"/")
        for depth in range(len(parts) - 1, -1, -1):
            above = b"/".join(parts[:depth]) or b"."
            try:
                status = os.stat(above, dir_fd=self._root, follow_symlinks=False)
            except (OSError, ValueError):
                continue
            return abs(time.time() - status.st_mtime) < LATELY_SECONDS
        return False

    def open(self, path: bytes) -> BinaryIO:
        """Opens a file for reading.

        Raises OutsideLibrary, MissingFile, NotRegular or Unreadable.
        """
        parts = _components(path)
        folder = self._descend(parts[:-1], path)
        try:
            # O_NONBLOCK: opening a pipe must not wait for a writer.
            descriptor = os.open(
                parts[-1],
                os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
                dir_fd=folder,
            )
        except OSError as error:
            raise _meaning(error, path) from error
        finally:
            if folder != self._root:
                os.close(folder)
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            raise NotRegular(
                f"{shown(path)} is {_kind(mode)}, not a file; it was not read"
            )
        return os.fdopen(descriptor, "rb")

    def _descend(self, folders: list[bytes], path: bytes) -> int:
        """Returns a descriptor of the folder, the root's own for no `folders`."""
        current = self._root
        for part in folders:
            try:
                below = os.open(
                    part,
                    os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                    dir_fd=current,
                )
            except OSError as error:
                raise _meaning(error, path) from error
            finally:
                if current != self._root:
                    os.close(current)
            current = below
        return current

    def _examine(self, path: bytes, plain: set[bytes] | None = None) -> Found:
        parts = _components(path)
        seen = set() if plain is None else plain
        try:
            for depth in range(1, len(parts)):
                above = b"/".join(parts[:depth])
                if above in seen:
                    continue
                if stat.S_ISLNK(
                    os.stat(above, dir_fd=self._root, follow_symlinks=False).st_mode
                ):
                    raise NotRegular(
                        f"{shown(path)} lies behind a symbolic link, which is not followed"
                    )
                seen.add(above)
            status = os.stat(path, dir_fd=self._root, follow_symlinks=False)
        except OSError as error:
            raise _meaning(error, path) from error
        if not stat.S_ISREG(status.st_mode):
            raise NotRegular(
                f"{shown(path)} is {_kind(status.st_mode)}, not a file; it was not opened"
            )
        return Found(path, status.st_size, status.st_mtime_ns)

    def _find_renamed(
        self, folder: bytes, name: bytes, suffix: bytes, missing: MissingFile
    ) -> Found:
        names = self._names(folder)
        alike = [other for other in names if _folded(other) == _folded(name)]
        # Hidden files belong to other programs: macOS's `._file.epub` is not a book.
        same_kind = [
            other
            for other in names
            if suffix and _folded(other).endswith(_folded(suffix)) and other[:1] != b"."
        ]
        chosen = [name] if name in names else alike if len(alike) == 1 else same_kind
        if len(chosen) > 1:
            candidates = ", ".join(shown(other) for other in sorted(chosen)[:3])
            raise AmbiguousFile(
                f"{missing}; {len(chosen)} files there could be it ({candidates}); "
                "leave one, or give it that name"
            )
        if not chosen:
            raise missing
        found = self._examine(_joined(folder, chosen[0]))
        note = f"{missing}; {shown(found.path)} was taken instead"
        conflicted = is_conflicted_copy(name, chosen[0])
        if conflicted:
            note += (
                ", a copy that a synchronising program made of a conflict: is it "
                "the right version?"
            )
        return Found(found.path, found.size, found.mtime_ns, note, conflicted)


def is_conflicted_copy(recorded: bytes, found: bytes) -> bool:
    """Whether a file's name is the recorded one with the mark of a conflicted copy.

    For example `Title - Author.sync-conflict-20240101-120000-ABCDEFG.epub` or `Title -
    Author (Jane's conflicted copy).epub`.
    """
    return len(_CONFLICT.findall(found)) > len(_CONFLICT.findall(recorded))


def _files_below(folder: int) -> Iterator[bytes]:
    """Yields every file below an open folder, as a path relative to it."""
    for where, _folders, files, _descriptor in os.fwalk(
        b".", dir_fd=folder, follow_symlinks=False
    ):
        for name in files:
            # Bytes, which Path does not accept.
            yield os.path.normpath(os.path.join(where, name))  # noqa: PTH118


def shown(path: bytes) -> str:
    """Formats a path for a message."""
    return repr(for_log(path, 400))


def _joined(folder: bytes, name: bytes) -> bytes:
    if not folder:
        raise OutsideLibrary(
            "Calibre records no folder for this book; nothing was opened"
        )
    if b"/" in name or (b"\\" in name and os.name == "nt"):
        raise OutsideLibrary(
            f"the file name {shown(name)} has a path in it; it was not opened"
        )
    return folder + b"/" + name


def _components(path: bytes) -> list[bytes]:
    """Returns the parts of a path that stays below the library.

    Raises OutsideLibrary.
    """
    parts = path.split(b"/")
    if (
        not path
        or b"\0" in path
        or path.startswith(b"/")
        or b"" in parts
        or b"." in parts
        or b".." in parts
    ):
        raise OutsideLibrary(
            f"the recorded path {shown(path)} leaves the library or is no path; it was not opened"
        )
    return parts


def _folded(name: bytes) -> str:
    return unicodedata.normalize(
        "NFC", name.decode("utf-8", "surrogateescape")
    ).casefold()


def _kind(mode: int) -> str:
    return next((kind for test, kind in _KINDS if test(mode)), "something else")


def _meaning(error: OSError, path: bytes) -> Rejected:
    """Translates an error about a file.

    Raises OutOfResources when the error is not about the file.
    """
    raise_if_exhausted(error)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return MissingFile(f"{shown(path)} is not in the library")
    if error.errno == errno.ELOOP:  # O_NOFOLLOW met a symbolic link
        return NotRegular(
            f"{shown(path)} is or lies behind a symbolic link, which is not followed"
        )
    if error.errno == errno.ENXIO:  # error of opening a socket
        return NotRegular(f"{shown(path)} is not a file; it was not read")
    return Unreadable(f"{shown(path)} cannot be read: {error.strerror}")
