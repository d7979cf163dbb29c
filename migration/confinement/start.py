"""How a worker script is started: as it is, or confined when an LLM has changed it."""

from pathlib import Path

from migration import release

#: The program that confines itself and then runs a script.
LAUNCHER = Path(__file__).with_name("launch.py")
#: Where the monitor keeps the scripts that an LLM has changed, in the state directory.
CANDIDATES = Path("auto_monitor/candidates")


def launcher(script: Path, state_dir: Path) -> list[str]:
    """Returns what stands before the script on its command line: the launcher or [].

    The launcher refuses to run a script that cannot be confined here.
    """
    return [str(LAUNCHER)] if is_changed(script, state_dir) else []


def is_changed(script: Path, state_dir: Path) -> bool:
    """Whether an LLM has changed this script: a candidate, or one that was promoted.

    The released script never is. One that a person has changed is that person's.
    """
    if release.is_shipped(script):
        return False
    if release.is_code_fix(script):
        return True
    folder = state_dir / CANDIDATES
    if script.parent.resolve() == folder.resolve():
        return True
    try:
        text = script.read_bytes()
        return any(path.read_bytes() == text for path in folder.glob("*.py"))
    except OSError:
        return False
