#!/usr/bin/env bash
# Stops the workers and the embedded server that ./start.sh started, see ./stop.sh --help.
set -eu

# What the caller calls `books` is in the folder the caller is in.
called_from=$PWD
script=${BASH_SOURCE[0]}
while [ -L "$script" ]; do
    target=$(readlink "$script")
    case $target in /*) script=$target ;; *) script=$(dirname "$script")/$target ;; esac
done
CDPATH="" cd -- "$(dirname -- "$script")"

if [ ! -e .venv ] && [ ! -L .venv ]; then
    echo "Nothing was ever started here."
    exit 0
fi
# shellcheck source=deploy/bootstrap.sh
. deploy/bootstrap.sh
wrong=$(what_is_wrong)
case $wrong in
    "" | "the checkout was moved"*) ;;
    *)
        echo "$PWD/.venv cannot be used ($wrong): ./start.sh makes it anew; then ./stop.sh" >&2
        exit $NOT_THERE
        ;;
esac
CALLED_FROM=$called_from exec .venv/bin/python -m deploy.stop "$@"
