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
# Python itself answers a Ctrl-C before its program has begun with a traceback: it is kept
# away for these few milliseconds (-S: deploy.begin loads the rest), unless somebody
# (nohup) keeps it away for good.
if [ -z "$(trap -p INT)" ]; then
    trap '' INT
    export HOLDS_CTRL_C=1
fi
CALLED_FROM=$called_from exec .venv/bin/python -S -m deploy.begin "$@"
