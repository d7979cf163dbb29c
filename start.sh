#!/usr/bin/env bash
# Starts a migration; ./start.sh --help says how. The set-up is done on the first start.
set -eu

script=${BASH_SOURCE[0]}
while [ -L "$script" ]; do
    target=$(readlink "$script")
    case $target in /*) script=$target ;; *) script=$(dirname "$script")/$target ;; esac
done
cd "$(dirname "$script")"

# shellcheck source=deploy/bootstrap.sh
. deploy/bootstrap.sh
# A press of TAB (deploy/completion.bash) installs nothing.
[ -n "${_ARGCOMPLETE:-}" ] || bootstrap requirements.txt
exec .venv/bin/python -m deploy.launch "$@"
