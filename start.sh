#!/usr/bin/env bash
# Starts a migration, see ./start.sh --help. The first start sets everything up.
set -eu

script=${BASH_SOURCE[0]}
while [ -L "$script" ]; do
    target=$(readlink "$script")
    case $target in /*) script=$target ;; *) script=$(dirname "$script")/$target ;; esac
done
cd "$(dirname "$script")"

# shellcheck source=deploy/bootstrap.sh
. deploy/bootstrap.sh
# Completion (deploy/completion.bash) installs nothing.
[ -n "${_ARGCOMPLETE:-}" ] || bootstrap requirements.txt
exec .venv/bin/python -m deploy.launch "$@"
