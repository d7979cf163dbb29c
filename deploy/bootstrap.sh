# Sourced by start.sh and run_tests.sh: finds Python, makes .venv, installs what a requirements file names.
# shellcheck shell=bash

# find_python: prints a Python of 3.11 or newer, or says which is needed.
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer is needed; install it (Debian: apt install python3 python3-venv)" >&2
    return 1
}

# bootstrap REQUIREMENTS: .venv exists afterwards and holds what the file (and those it includes) names.
bootstrap() {
    local requirements=$1 python stamp wanted
    stamp=.venv/installed-$(basename "$requirements" .txt)
    wanted=$(cat requirements.txt requirements-cluster.txt "$requirements" | cksum)
    if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    if [ ! -x .venv/bin/python ]; then
        python=$(find_python) || return 1
        if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
            echo "$python has no venv or ensurepip; install it (Debian: apt install python3-venv)" >&2
            return 1
        fi
        echo "Making .venv with $("$python" --version)" >&2
        "$python" -m venv .venv || return 1
    fi
    echo "Installing $requirements (once; this takes a minute)" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements" || return 1
    printf '%s\n' "$wanted" >"$stamp"
}

