"""Runs a program where it can see and reach nothing.

There are new user, network, process and mount namespaces (`unshare` of util-linux): no
network but loopback, no processes but its own, and a root of its own with our Python
and the system's libraries, read-only, and one writable folder. No home, no project, no
state directory, no credentials; no capabilities, no new privileges, and limits on
everything. It works for users other than root where the kernel allows user namespaces;
elsewhere it raises `Unavailable`. `sandboxed` is the half that runs inside.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from auto_monitor.patch import sandboxed
from auto_monitor.patch.sandboxed import CANNOT, SYS_PIVOT_ROOT
from common.errors import CodedError


class Unavailable(CodedError):
    """No sandbox is possible here; the message says why."""

    code = "sandbox-unavailable"


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float
) -> "subprocess.CompletedProcess[bytes]":
    """Runs a program for at most `seconds`; only `folder` is writable.

    Inside, it is `sandboxed.INSIDE`. The command's first word is looked up inside;
    status -9 or 137 means that it took too long. Raises Unavailable.
    """
    if shutil.which("unshare") is None or os.uname().machine not in SYS_PIVOT_ROOT:
        raise Unavailable(
            "there is no `unshare` (util-linux), or this is neither x86_64 nor aarch64"
        )
    try:
        done = subprocess.run(
            _command_line(command, folder, seconds),
            env={**environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds + 10,
            cwd="/",
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(
            f"the sandbox did not start or did not end: {error}"
        ) from error
    if done.returncode == CANNOT or (
        done.returncode == 1 and b"unshare" in done.stderr
    ):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Unavailable(
            f"no sandbox can be made here: {said[-1] if said else 'the kernel refuses'}"
        )
    return done


def _command_line(command: Sequence[str], folder: Path, seconds: float) -> list[str]:
    """Returns the inner half's command in new namespaces; its argument is the task."""
    spec = json.dumps(
        {"folder": str(folder), "command": list(command), "seconds": seconds}
    )
    deadline = ["timeout", "--foreground", "-s", "KILL", f"{seconds:.0f}"]
    namespaces = ["unshare", "-Urnmpif", "--kill-child", "--"]
    return [
        *deadline,
        *namespaces,
        sys.executable,
        "-I",
        str(Path(sandboxed.__file__).resolve()),
        spec,
    ]


def python() -> str:
    """Returns the path of the interpreter inside."""
    return str(Path(sys.prefix).resolve() / "bin" / "python3")
