#!/usr/bin/env bash
# Stops the workers and the embedded server that ./start.sh started, see ./stop.sh --help.
set -eu

script=${BASH_SOURCE[0]}
while [ -L "$script" ]; do
    target=$(readlink "$script")
    case $target in /*) script=$target ;; *) script=$(dirname "$script")/$target ;; esac
done
cd "$(dirname "$script")"

if [ ! -x .venv/bin/python ]; then
    echo "Nothing was ever started here."
    exit 0
fi
exec .venv/bin/python -m deploy.stop "$@"
