"""Turns the LLM's text into a candidate that passes guard and gate; installs it.

The installed script is only ever replaced as a whole, and only while it is still the
one the fix was made from.
"""

import difflib
import hashlib
import py_compile
import stat
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from auto_monitor.decide.changed import tried_before
from auto_monitor.model import Candidate
from auto_monitor.patch import code_edit, gate, guard
from auto_monitor.patch.gate import sample_of
from auto_monitor.patch.sandbox import Unavailable
from auto_monitor.record.history import HistoryFile, history_path
from common.clock import utc_now
from common.errors import CodedError
from common.files import durable
from common.files.json_files import write_bytes
from migration import release

#: Backups and candidates that are kept.
NEWEST = 50
#: The ending of a proposal that is a code fix of an earlier version of the program.
BEFORE_UPDATE = ".before-update"


class FixRefused(CodedError):
    """The fix is not applied.

    The message says why, for the next round and the history.
    """

    code = "fix-refused"


class NothingToRollBack(FixRefused):
    """No backup differs from the current script."""

    code = "nothing-to-roll-back"


class NotOurs(Exception):
    """The installed script is neither what the fix was made from nor its result.

    It was changed outside the monitor.
    """


@dataclass(frozen=True, slots=True)
class Workshop:
    """Makes fixes of one script; the gate may take `seconds`.

    With a `library` it also tries them on a copy of books that are to be done next; or
    of `wrong` books, in which an audit has found a difference.
    """

    script: Path
    project: Path
    state_dir: Path
    seconds: float
    library: Path | None = None
    wrong: tuple[int, ...] = ()
    #: Why changes were refused, by the hashes of the script before and after.
    _refused: dict[tuple[str, str], str] = field(default_factory=dict)

    def apply(self, reply: str) -> Candidate:
        """Makes a candidate of the reply's edit; the installed script is not touched.

        Raises FixRefused, sandbox.Unavailable or StateUnwritable.
        """
        source = self.script.read_bytes()
        made = self.edit(source, reply)
        # Told at once, so that the next round brings another change.
        history = HistoryFile(history_path(self.state_dir))
        change = (digest(source), digest(made))
        known = tried_before(change[1], history.entries())
        if known or change in self._refused:
            raise FixRefused(known or f"the same change again: {self._refused[change]}")
        try:
            return self._made(source, made)
        except FixRefused as refusal:
            # The gate may take minutes, while the worker waits for its repair.
            self._refused[change] = str(refusal)
            raise

    def as_asked(self, change: str, *, whole: bool) -> Candidate:
        """Makes a candidate of a change, or of a whole script, that a person asks for.

        Where no gate can be had it is not tried, and says so. Raises FixRefused or
        StateUnwritable.
        """
        source = self.script.read_bytes()
        changed = change.encode("utf-8") if whole else self.edit(source, change)
        try:
            return self._made(source, changed)
        except Unavailable as error:
            untried = f"not tried before, as a person asked: {error}"
            return self._made(source, changed, untried=untried)

    def _made(self, source: bytes, changed: bytes, *, untried: str = "") -> Candidate:
        backup = self.back_up(source)
        path = self.keep_candidate(changed)
        self.compile(path)
        self.guard(source, changed)
        how = untried or self.gate(path)
        return Candidate(
            path.name,
            backup,
            digest(source),
            digest(path.read_bytes()),
            diff(source, changed.decode()),
            how,
        )

    # -- the steps ---------------------------------------------------------------------

    def back_up(self, source: bytes) -> str:
        """Backs the script up as `auto_monitor/backups/<script>.<UTC>`.

        Returns the name.
        """
        name = f"{self.script.name}.{utc_now():%Y%m%dT%H%M%S.%fZ}"
        write_bytes(self.folder("backups") / name, source)
        for old in backups(self.state_dir, self.script)[:-NEWEST]:
            old.unlink(missing_ok=True)
        return name

    def edit(self, source: bytes, reply: str) -> bytes:
        """Returns the script with the edit applied. Raises FixRefused."""
        try:
            changed = code_edit.apply(source, reply)
        except code_edit.EditRefused as refusal:
            raise FixRefused(f"the edit cannot be applied: {refusal}") from None
        if changed == source:
            raise FixRefused("the edit changes nothing")
        return changed

    def keep_candidate(self, changed: bytes) -> Path:
        """Writes the candidate to its own file.

        Its name begins as the script's, so that its process is recognised as a worker.
        """
        path = (
            self.folder("candidates")
            / f"{self.script.stem}.{utc_now():%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}.py"
        )
        write_bytes(path, changed)
        for old in sorted(self.folder("candidates").glob("*.py"))[:-NEWEST]:
            old.unlink(missing_ok=True)
        return path

    def compile(self, path: Path) -> None:
        """Raises FixRefused when the candidate does not compile."""
        compiled = path.with_suffix(".pyc")
        try:
            py_compile.compile(str(path), cfile=str(compiled), doraise=True)
        except py_compile.PyCompileError as error:
            raise FixRefused(
                f"it does not compile: {error.msg.strip().splitlines()[-1]}"
            ) from None
        finally:
            compiled.unlink(missing_ok=True)

    def guard(self, before: bytes, after: bytes) -> None:
        """Raises FixRefused when a change is not allowed."""
        objections = guard.objections(before, after)
        if objections:
            raise FixRefused("the change is not allowed: " + "; ".join(objections[:8]))

    def gate(self, path: Path) -> str:
        """Migrates the demo library, and a copy of next books, in the sandbox.

        Returns a description of the result. Raises FixRefused when the candidate does
        not pass.
        """
        try:
            return gate.check(
                path,
                self.script,
                self.project,
                self.folder("gate") / uuid.uuid4().hex[:8],
                self.seconds,
                sample_of(self.library, self.state_dir, self.wrong),
            )
        except gate.NotPassed as refusal:
            raise FixRefused(
                f"the candidate did not pass the gate: {refusal}"
            ) from None

    def folder(self, name: str) -> Path:
        """Returns `STATE_DIR/auto_monitor/<name>`."""
        return self.state_dir / "auto_monitor" / name


@dataclass(frozen=True, slots=True)
class WorkerScript:
    """The installed script, and the candidates of one state directory."""

    path: Path
    state_dir: Path

    @property
    def name(self) -> str:
        """The script's file name."""
        return self.path.name

    def digest(self) -> str:
        """Returns the hash of the installed script; "" when it cannot be read."""
        return in_place(self.path)

    @property
    def shipped(self) -> bool:
        """Whether the installed script is the released one."""
        return release.is_shipped(self.path)

    def has(self, candidate: Candidate) -> bool:
        """Whether the candidate's file still exists."""
        return self.path_of(candidate).is_file()

    def path_of(self, candidate: Candidate) -> Path:
        """Returns the path of the candidate."""
        return candidate_path(self.state_dir, candidate.name)

    def promote(self, candidate: Candidate) -> None:
        """Installs the candidate as the script, atomically; repeatable.

        Raises NotOurs or OSError.
        """
        promote(self.path, self.state_dir, candidate)

    def take_back(self, candidate: Candidate) -> None:
        """Puts the script before the candidate in place again; repeatable.

        Raises NotOurs or OSError.
        """
        take_back(self.path, self.state_dir, candidate)

    def given_way(self) -> list[str]:
        """Returns the names of proposals that are code fixes of an earlier version."""
        folder = folder_of(self.state_dir, "proposals")
        return sorted(path.name for path in folder.glob(f"*{BEFORE_UPDATE}"))

    def advice(self, commands: str) -> str:
        """How a person keeps or drops a changed script; `commands` of ours do so."""
        return how_to_keep(self.path, commands)


# -- installing and rolling back -------------------------------------------------------


def managed_script(state_dir: Path) -> Path:
    """Returns where services and containers keep the copy that workers run."""
    return state_dir / "worker" / release.SCRIPT


def candidate_path(state_dir: Path, name: str) -> Path:
    """Returns the path of a candidate."""
    return state_dir / "auto_monitor" / "candidates" / Path(name).name


def in_place(script: Path) -> str:
    """Returns the hash of the installed script; "" when it cannot be read."""
    try:
        return digest(script.read_bytes())
    except OSError:
        return ""


def promote(script: Path, state_dir: Path, candidate: Candidate) -> None:
    """Installs the candidate as the script, atomically; repeatable.

    Raises NotOurs or OSError.
    """
    found = in_place(script)
    if found == candidate.after:
        return
    data = candidate_path(state_dir, candidate.name).read_bytes()
    if found != candidate.before or digest(data) != candidate.after:
        raise NotOurs(f"{script} or its candidate was changed by somebody else")
    release.note_changed(script, candidate.after, candidate.before)
    replace(script, data)


def take_back(script: Path, state_dir: Path, candidate: Candidate) -> None:
    """Puts the script that a candidate was made from in place again; repeatable.

    What it was is kept among the proposals. Raises NotOurs or OSError.
    """
    found = in_place(script)
    if found == candidate.before:
        return
    if found != candidate.after:
        raise NotOurs(f"{script} was changed by somebody else: nothing was overwritten")
    data = (folder_of(state_dir, "backups") / Path(candidate.backup).name).read_bytes()
    if digest(data) != candidate.before:
        raise NotOurs(f"the backup {candidate.backup} is not what it was")
    keep_taken_back(script, state_dir)
    replace(script, data)


def roll_back(script: Path, state_dir: Path, ours: Collection[str] = ()) -> str:
    """Restores the newest backup that differs from the script; returns its name.

    Only where the script in place was made by a code fix: its hash is among `ours`, or
    it is a candidate. Raises FixRefused or OSError.
    """
    now = script.read_bytes()
    older = [
        (path.name, data)
        for path in reversed(backups(state_dir, script))
        if (data := path.read_bytes()) != now
    ]
    if not older:
        raise NothingToRollBack(
            f"no backup in {folder_of(state_dir, 'backups')} differs from {script}"
        )
    if digest(now) not in {*ours, *_candidates(state_dir)}:
        raise NothingToRollBack(
            f"{script} is no code fix of ours, or somebody has changed it since: nothing "
            f"was overwritten. The backups are in {folder_of(state_dir, 'backups')}"
        )
    name, data = older[0]
    keep_taken_back(script, state_dir)
    replace(script, data)
    return name


def keep_taken_back(script: Path, state_dir: Path) -> str:
    """Keeps the script in place among the proposals; returns the file's name."""
    name = f"{script.name}.{utc_now():%Y%m%dT%H%M%S.%fZ}.taken-back"
    write_bytes(folder_of(state_dir, "proposals") / name, script.read_bytes())
    return name


def folder_of(state_dir: Path, name: str) -> Path:
    """Returns `STATE_DIR/auto_monitor/<name>`."""
    return state_dir / "auto_monitor" / name


def _candidates(state_dir: Path) -> Iterator[str]:
    for path in folder_of(state_dir, "candidates").glob("*.py"):
        yield in_place(path)


def release_of(script: Path, project: Path, state_dir: Path) -> tuple[str, bytes]:
    """Returns the released script and where it was found: here, or among the backups.

    Raises FixRefused when it is not on this machine any more.
    """
    shipped = project / script.name
    for path in (script, shipped, *backups(state_dir, script)):
        if release.is_shipped(path):
            return path.name, path.read_bytes()
    raise FixRefused(
        f"the released {script.name} is not here any more: neither in {project} nor "
        f"in {folder_of(state_dir, 'backups')}; in a git checkout: git diff -- "
        f"{script.name}"
    )


def how_to_keep(script: Path, said: str) -> str:
    """Returns how a person keeps or drops a changed script.

    `said` is by which commands of ours.
    """
    if not any((folder / ".git").exists() for folder in script.resolve().parents):
        return said
    return (
        f"{said}. In a git checkout: `git diff -- {script.name}` shows it, `git commit "
        f"{script.name}` keeps it, `git checkout -- {script.name}` drops it; until then "
        "git pull refuses a release that changes this file (drop it then: the next "
        "start keeps it as a proposal)"
    )


def backups(state_dir: Path, script: Path) -> list[Path]:
    """Returns the backups of a script, oldest first."""
    return sorted((state_dir / "auto_monitor" / "backups").glob(f"{script.name}.*Z"))


def replace(script: Path, data: bytes) -> None:
    """Replaces the script atomically, keeping its mode. Raises OSError."""
    durable.replace(script, data, mode=stat.S_IMODE(script.stat().st_mode))


def digest(data: bytes) -> str:
    """Returns the hash that identifies a version of the script."""
    return hashlib.sha256(data).hexdigest()


def diff(before: bytes, after: str) -> str:
    """Returns the change as a unified diff."""
    lines = difflib.unified_diff(
        before.decode("utf-8").splitlines(),
        after.splitlines(),
        "before",
        "after",
        lineterm="",
        n=3,
    )
    return "\n".join(lines)


__all__ = [
    "Candidate",
    "FixRefused",
    "NotOurs",
    "Unavailable",
    "Workshop",
    "candidate_path",
    "in_place",
    "promote",
    "roll_back",
]
