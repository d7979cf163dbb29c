# Sourced by start.sh, migrate and run_tests.sh, in the checkout: finds Python, makes .venv,
# installs what a requirements file names.
# shellcheck shell=bash

# Exit statuses: as those of ./start.sh.
readonly NOT_THERE=2 UNREACHABLE=3 UNWRITABLE=5
# While this is in .venv, .venv is not whole.
readonly MAKING=.venv/being-made
readonly INSTALL_LOG=.venv/install.log

# system: prints the name and version of the system, such as "debian 12" or "macos".
system() {
    if [ "$(uname -s)" = Darwin ]; then
        echo macos
    else
        # shellcheck disable=SC1090,SC1091  # the file of the system that this runs on
        (. "${OS_RELEASE:-/etc/os-release}" 2>/dev/null && echo "${ID:-} ${VERSION_ID:-}")
    fi
}

# how_to_get_python: prints how Python of 3.11 or newer is installed on this system.
how_to_get_python() {
    local by_hand="install a newer one beside the system's (pyenv, uv) and name it: PYTHON=/path/to/python3.12 ./start.sh"
    case $(system) in
        debian\ 9* | debian\ 10* | debian\ 11*)
            echo "this Debian has only an older one: upgrade to Debian 12, or $by_hand; or use the containers (docs/deployment.md)" ;;
        debian*) echo "sudo apt install python3 python3-venv" ;;
        ubuntu\ 22.*) echo "sudo apt install python3.11 python3.11-venv" ;;
        ubuntu\ 1* | ubuntu\ 20.* | ubuntu\ 21.*)
            echo "this Ubuntu has only an older one: upgrade to 24.04, or $by_hand; or use the containers (docs/deployment.md)" ;;
        ubuntu*) echo "sudo apt install python3 python3-venv" ;;
        fedora*) echo "sudo dnf install python3" ;;
        macos) echo "brew install python@3.12, or the installer of python.org (Apple's own Python is older)" ;;
        *) echo "with the packages of your system; or $by_hand" ;;
    esac
}

# how_to_get_venv VERSION: prints how the module venv is installed for that Python.
how_to_get_venv() {
    case $(system) in
        debian* | ubuntu*) echo "sudo apt install python$1-venv" ;;
        fedora*) echo "sudo dnf install python3-libs python-pip-wheel" ;;
        macos) echo "brew reinstall python@$1" ;;
        *) echo "it is part of Python; on Debian and its like: sudo apt install python$1-venv" ;;
    esac
}

# find_python: prints a Python of 3.11 or newer, or says which is needed.
find_python() {
    local candidate found version older=
    for candidate in "${PYTHON:-}" python3.14 python3.13 python3.12 python3.11 python3 python; do
        found=$(command -v "$candidate" 2>/dev/null) || continue
        if "$found" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$found"
            return
        fi
        version=$("$found" --version 2>&1) || continue
        older=${older:-; here is only $version}
    done
    if [ -n "${PYTHON:-}" ]; then
        older="; PYTHON=$PYTHON is none$older"
    fi
    echo "Python 3.11 or newer is needed$older. Install it: $(how_to_get_python)" >&2
    return $NOT_THERE
}

# version_of PYTHON: prints its version, such as 3.11; nothing when it does not run.
version_of() {
    "$1" -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# what_is_wrong: prints why .venv cannot be used as it is, or nothing.
what_is_wrong() {
    local version
    if [ ! -e .venv ] && [ ! -L .venv ]; then
        return
    elif [ ! -d .venv/. ]; then
        echo "it is no folder"
    elif [ -e "$MAKING" ]; then
        echo "making it was interrupted"
    elif [ ! -e .venv/pyvenv.cfg ]; then
        if find .venv/. | grep -Eqv '^\.venv/\.($|/(bin|include|lib|lib64|share|\.gitignore|install\.log|installed-.*)(/|$))'; then
            echo "it is no virtual environment"
        else
            echo "making it was interrupted"
        fi
    elif ! version=$(version_of .venv/bin/python) || [ -z "$version" ]; then
        echo "its Python does not run; was it removed or upgraded?"
    elif [ ! -d ".venv/lib/python$version" ]; then
        echo "its Python has become Python $version"
    elif [ ! -d ".venv/lib/python$version/site-packages/pip" ]; then
        echo "it has no pip"
    elif was_moved; then
        echo "the checkout was moved or copied"
    fi
}

# was_moved: whether .venv was made in another place; its programs then lead there.
was_moved() {
    local made_for
    # Python notes the place, as the last word of a command; other programs do not.
    made_for=$(sed -n 's/^command = .* -m venv //p' .venv/pyvenv.cfg)
    case $made_for in
        /*) [ "$(cd -P -- "$made_for" 2>/dev/null && pwd)" != "$(cd -P .venv && pwd)" ] ;;
        *) return 1 ;;
    esac
}

# being_made: prints the pid of another start that is making .venv now, or nothing.
being_made() {
    local pid
    pid=$(cat "$MAKING" 2>/dev/null) || return 0
    case $(ps -o args= -p "${pid:-0}" 2>/dev/null) in
        *start.sh* | *run_tests.sh* | *migrate*) echo "$pid" ;;
    esac
}

# Owner of a file, as ls shows it.
owner_of() {
    # shellcheck disable=SC2012  # stat has other options on each system
    ls -ld "$1" | awk '{ print $3 }'
}

# needs_right_to_write WHAT REASON: says so when WHAT cannot be written.
needs_right_to_write() {
    if [ -w "$1" ]; then
        return
    fi
    echo "$2, and $(id -un) may not write in $1, which belongs to $(owner_of "$1"): let $(owner_of "$1") call ./start.sh here once, or use a copy of your own (git clone)" >&2
    return $UNWRITABLE
}

# make_venv: makes .venv, without packages.
make_venv() {
    local python version
    needs_right_to_write "$PWD" "There is no .venv yet" || return
    python=$(find_python) || return
    version=$(version_of "$python")
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "$python has no venv or ensurepip. Install it: $(how_to_get_venv "$version")" >&2
        return $NOT_THERE
    fi
    echo "Making .venv with $("$python" --version)" >&2
    mkdir .venv && echo $$ >"$MAKING" || return $UNWRITABLE
    if ! "$python" -m venv .venv >"$INSTALL_LOG" 2>&1; then
        said_by_installer "No virtual environment could be made in $PWD/.venv"
    fi
}

# said_by_installer WHAT: says what has failed, why, and what to do; returns the status.
said_by_installer() {
    local last status=$NOT_THERE todo
    if grep -Eq 'No space left on device|Disk quota exceeded' "$INSTALL_LOG"; then
        todo="Make room on the disk of $PWD"
        status=$UNWRITABLE
    elif grep -Eq 'Permission denied|Read-only file system' "$INSTALL_LOG"; then
        todo="Give $(id -un) the right to write there"
        status=$UNWRITABLE
    elif grep -Eq 'CERTIFICATE_VERIFY_FAILED|SSLError' "$INSTALL_LOG"; then
        todo="A proxy of your network may have a certificate of its own: export PIP_CERT=/path/to/its.pem"
        status=$UNREACHABLE
    elif grep -Eq 'Proxy|proxy' "$INSTALL_LOG"; then
        todo="The proxy does not answer as it should: look at https_proxy and http_proxy in the environment"
        status=$UNREACHABLE
    elif grep -Eq 'NewConnectionError|ConnectionError|[Tt]imed out|Timeout|resolution|resolve|unreachable|refused|IncompleteRead' "$INSTALL_LOG"; then
        todo="Connect this machine to the network; behind a proxy: export https_proxy=http://PROXY:PORT; with a package index of your own: export PIP_INDEX_URL=URL"
        status=$UNREACHABLE
    elif grep -Eq 'from versions: none' "$INSTALL_LOG"; then
        todo="The package index does not have them or cannot be reached: look at PIP_INDEX_URL, PIP_NO_INDEX and https_proxy in the environment"
        status=$UNREACHABLE
    else
        todo="$PWD/$INSTALL_LOG has all of it"
    fi
    # What pip says last is that there is no such package; why, it says before.
    last=$(grep -Eo "Cannot connect to proxy[^'\"]*|\[Errno[^'\")]*|certificate verify failed[^'\"(]*" "$INSTALL_LOG" | tail -n 1)
    last=${last:-$(grep -E 'ERROR|Error' "$INSTALL_LOG" | tail -n 1)}
    last=${last:-$(grep . "$INSTALL_LOG" | tail -n 1)}
    echo "$1: ${last:-it said nothing}. $todo; then start again" >&2
    return "$status"
}

# install REQUIREMENTS: has pip install them into .venv.
install() {
    needs_right_to_write .venv/. "Packages of .venv are missing or of another version" || return
    echo "Installing $1 (once; this takes a minute)" >&2
    echo $$ >"$MAKING" || return $UNWRITABLE
    if PIP_RETRIES=${PIP_RETRIES:-2} .venv/bin/python -m pip install --quiet \
        --disable-pip-version-check --no-input -r "$1" >"$INSTALL_LOG" 2>&1; then
        rm -f "$MAKING"
        return
    fi
    local status=0
    said_by_installer "The packages of $1 could not be installed" || status=$?
    # What cannot be fetched is not installed in part.
    [ "$status" != $UNREACHABLE ] || rm -f "$MAKING"
    return "$status"
}

# stopped STATUS: a Ctrl-C while .venv is made; what is half made is made anew the next time.
stopped() {
    echo "Stopped; nothing was started, and the next start goes on" >&2
    exit "$1"
}

# bootstrap REQUIREMENTS: .venv exists afterwards and holds what the file (and those it includes) names.
bootstrap() {
    local requirements=$1 stamp wanted wrong making
    stamp=.venv/installed-$(basename "$requirements" .txt)
    wanted=$(cat requirements.txt requirements-cluster.txt "$requirements" | cksum)
    # What runs at the moment ends first.
    trap 'stopped 130' INT
    trap 'stopped 143' TERM
    trap 'stopped 129' HUP
    making=$(being_made)
    if [ -n "$making" ]; then
        echo "Another start is making $PWD/.venv (pid $making): wait until it has come up, then start again" >&2
        return $NOT_THERE
    fi
    wrong=$(what_is_wrong)
    case $wrong in
        "") ;;
        "it is no"*)
            echo "$PWD/.venv is in the way: $wrong. Move it away, then start again" >&2
            return $NOT_THERE
            ;;
        *)
            needs_right_to_write .venv/. "$PWD/.venv cannot be used: $wrong" || return
            echo "Making .venv anew: $wrong" >&2
            rm -rf .venv || return $UNWRITABLE
            ;;
    esac
    if [ ! -d .venv ]; then
        make_venv || return
    elif [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        trap - INT TERM HUP
        return
    fi
    install "$requirements" || return
    printf '%s\n' "$wanted" >"$stamp" || return $UNWRITABLE
    trap - INT TERM HUP
}
