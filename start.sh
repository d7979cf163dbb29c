#!/usr/bin/env bash
# Starts a migration, see ./start.sh --help. The first start sets everything up.
set -eu

# What the caller calls `books` is in the folder the caller is in.
called_from=$PWD
script=${BASH_SOURCE[0]}
while [ -L "$script" ]; do
    target=$(readlink "$script")
    case $target in /*) script=$target ;; *) script=$(dirname "$script")/$target ;; esac
done
CDPATH="" cd -- "$(dirname -- "$script")"

# shellcheck source=deploy/bootstrap.sh
. deploy/bootstrap.sh
# Completion (deploy/completion.bash) installs nothing.
[ -n "${_ARGCOMPLETE:-}" ] || bootstrap requirements.txt
# -S -P: nothing is loaded before it listens to Ctrl-C; Python itself would answer that with
# a traceback. Until it listens a Ctrl-C waits, where `env` can have it wait.
waiting=
if env --block-signal=USR2 true 2>/dev/null; then
    waiting="env --block-signal=INT"
fi
# shellcheck disable=SC2086  # words of ours
CALLED_FROM=$called_from exec $waiting .venv/bin/python -S -P deploy/begin.py "$@"
