"""Owner and mode of what is placed, so that the server can go on using it. Pure.

The server adds files to the folders later and removes them: folders must be its own, or
writable by a group that it shares with us.
"""

import stat
from collections.abc import Collection
from dataclasses import dataclass

ROOT = 0


@dataclass(frozen=True, slots=True)
class Status:
    """A directory of the server's as the system sees it."""

    path: str
    uid: int
    gid: int
    mode: int


@dataclass(frozen=True, slots=True)
class Us:
    """This process: its effective user and all of its groups."""

    uid: int
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Owning:
    """How folders and files are made.

    `uid` and `gid` are to be set, None when the system sets the right ones by itself.
    """

    folder_mode: int
    file_mode: int
    uid: int | None = None
    gid: int | None = None


def owning(directory: Status, us: Us) -> Owning:
    """Returns what makes folders and files like those of the server's directory."""
    mode = directory.mode & 0o777
    as_there = Owning(mode | (directory.mode & stat.S_ISGID), mode & 0o666)
    if us.uid == directory.uid or us.uid != ROOT:
        return as_there
    return Owning(
        as_there.folder_mode, as_there.file_mode, directory.uid, directory.gid
    )


def problem(directory: Status, us: Us) -> str:
    """Returns why the server could not use what we make there, "" if it can."""
    if us.uid in (directory.uid, ROOT):
        return ""
    if directory.gid in us.groups and _is_shared(directory.mode):
        return ""
    return (
        f"{directory.path} belongs to user {directory.uid}, and this process runs as "
        f"user {us.uid}, so the server could not change what is placed there: run it "
        f"as user {directory.uid} or as root, or give both users a group and the "
        f"directory to that group (chgrp -R GROUP, chmod -R g+rwXs)"
    )


def common(directories: Collection[Status]) -> str:
    """Returns why these directories cannot be one server's, "" if they can."""
    owners = {directory.uid for directory in directories}
    if len(owners) < 2:
        return ""
    whose = ", ".join(f"{each.path} to user {each.uid}" for each in directories)
    return f"the server's directories belong to different users ({whose}): chown them"


def _is_shared(mode: int) -> bool:
    """Whether a group may write there, and what is made there is the group's."""
    return bool(mode & stat.S_IWGRP and mode & stat.S_ISGID)
