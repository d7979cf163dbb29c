#!/usr/bin/env bash
# Writes the lock files of the images anew: every library with its exact version and the SHA-256 of its files, so that
# a build installs what was tried, whatever the package index holds by then. Needs Python 3.11, as the images have, and
# network. Where the index is is pip's own setting; its address is not written.
#   deploy/lock.sh [--upgrade]      --upgrade: the newest versions that the requirements allow
#   deploy/lock.sh --help
# LOCK_PYTHON names a Python 3.11 that is not called python3.11. Takes about six minutes.
set -euo pipefail

case ${1:-} in
"" | --upgrade) ;;
-h | --help)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
*)
    echo "lock: usage: deploy/lock.sh [--upgrade]" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."
python=${LOCK_PYTHON:-python3.11}
if ! command -v "$python" >/dev/null; then
    echo "lock: $python is missing; name a Python 3.11: LOCK_PYTHON=/path/to/python3.11" >&2
    exit 127
fi
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check 'pip-tools~=7.0'

# lock REQUIREMENTS LOCK [OPTION …]
lock() {
    CUSTOM_COMPILE_COMMAND=deploy/lock.sh "$tools/bin/pip-compile" --quiet --generate-hashes --strip-extras \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
        --no-annotate --output-file "$2" "${@:3}" "$1"
    echo "lock: $2"
}
lock requirements.txt deploy/migrator/requirements.lock "$@"
lock requirements-cluster.txt deploy/migrator/requirements-cluster.lock "$@"
lock deploy/server/requirements-server.txt deploy/server/requirements-server.lock "$@"
