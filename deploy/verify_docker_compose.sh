#!/bin/sh
# Is this machine ready for `docker compose up`? One line per check; --help says more.
set -eu

me=verify_docker_compose
failures=0

usage() {
    cat <<'TEXT'
usage: deploy/verify_docker_compose.sh [OPTION …]

Checks the Docker engine, the Compose and buildx plugins, docker-compose.yml with its .env, the ports it publishes,
Docker's data root and what an older one may have left, and the space on disk. Changes nothing. A line per check: ok, warning, FAILED.

  --file FILE       the file to check [default: docker-compose.yml of this project; environment: VERIFY_COMPOSE_FILE]
  --port N          one more port that must be free; may be repeated [default: those that the file publishes, with the
                    values of .env; environment: VERIFY_PORTS, separated by blanks]
  --old-root DIR    where an older Docker may have left data; may be repeated [default: /var/lib/docker and those that
                    copies of daemon.json name; environment: VERIFY_OLD_ROOTS, separated by blanks]
  --min-root GB     free space wanted on the data root [default: 10; environment: VERIFY_MIN_ROOT_GB]
  --min-state GB    free space wanted on STATE_DIR [default: 2; environment: VERIFY_MIN_STATE_GB]
  --help            this text

Further environment: STATE_DIR (when the state is a folder of the host and no volume), DOCKER_DAEMON_JSON
[/etc/docker/daemon.json], DOCKER_DEFAULT_ROOT [/var/lib/docker].

exit status: 0 no check failed (there may be warnings); 1 one failed; 2 wrong usage
TEXT
}

ok() {
    printf 'ok       %s\n' "$*"
}

warn() {
    printf 'warning  %s\n' "$*"
}

failed() {
    printf 'FAILED   %s\n' "$*"
    failures=$((failures + 1))
}

# die MESSAGE …: wrong usage.
die() {
    printf '%s: %s\n' "$me" "$*" >&2
    exit 2
}

# limited SECONDS COMMAND …: ends a command that takes longer, where there is a program that can.
limited() {
    if command -v timeout >/dev/null; then
        timeout "$@"
    else
        shift
        "$@"
    fi
}

# compose ARGUMENT …: Compose on our file, with all its profiles.
compose() {
    limited 30 docker compose --file "$file" --profile '*' "$@"
}

# last_line TEXT: without the prefix of Docker's own log lines.
last_line() {
    printf '%s\n' "$1" | sed -n '$s/^time=.* msg="\(.*\)"$/\1/; $p'
}

check_engine() {
    if ! command -v docker >/dev/null; then
        failed "engine: there is no program 'docker'; install it (Debian: apt install docker.io)"
        return
    fi
    if said=$(limited 20 docker info --format '{{.ServerVersion}}' 2>&1) && [ -n "$said" ]; then
        engine=$(last_line "$said")
        ok "engine: Docker $engine answers"
        return
    fi
    case $said in
    *'permission denied'*) failed "engine: this user may not talk to it; use sudo, or: usermod -aG docker $(id -un), and log in again" ;;
    '') failed "engine: it did not answer within 20 s; see: systemctl status docker" ;;
    *) failed "engine: $(last_line "$said"); start it: systemctl start docker" ;;
    esac
}

check_plugin() {
    way_out='deploy/install_docker_compose_simple.sh installs it'
    said=$(limited 20 docker compose version --short 2>/dev/null) || said=
    said=${said#v}
    case ${said%%.*} in
    '') failed "plugin: \`docker compose\` does not work; $way_out" ;;
    *[!0-9]*) failed "plugin: \`docker compose version\` says '$said', which is no version; $way_out" ;;
    0 | 1) failed "plugin: Compose $said is too old, 2 or newer is needed; $way_out" ;;
    *) plugin=$said && ok "plugin: Compose $said" ;;
    esac
    check_old_program
}

# check_old_program: docker-compose of the old kind, with a hyphen; nothing here needs it.
check_old_program() {
    command -v docker-compose >/dev/null || return 0
    if ! old=$(limited 20 docker-compose version --short 2>&1); then
        case $old in
        *distutils*) why='it is of the old kind, which does not run on Python 3.12 (distutils)' ;;
        *) why=$(last_line "$old") ;;
        esac
        warn "plugin: the program docker-compose is broken: ${why:-it says nothing}; remove it (Debian: apt remove docker-compose), and write \`docker compose\`, with a blank"
    elif [ "${old#1.}" != "$old" ]; then
        warn "plugin: the program docker-compose $old is of the old kind and fails with Python 3.12 (distutils); write \`docker compose\`, with a blank"
    fi
}

# at_least VERSION MAJOR MINOR PATCH: is it that or newer?
at_least() {
    printf '%s\n' "$1" | awk -F. -v a="$2" -v b="$3" -v c="$4" \
        '{x = $1 + 0; y = $2 + 0; z = $3 + 0; exit !(x > a || (x == a && (y > b || (y == b && z >= c))))}'
}

# check_buildx: Compose builds with it, from 2.40.2 on only if it is 0.17 or newer (Debian 13 has 0.13).
check_buildx() {
    said=$(limited 20 docker buildx version 2>/dev/null) || said=
    found=$(printf '%s\n' "$said" | sed -n '1s/^github\.com[^ ]* v\{0,1\}\([0-9][^ ]*\).*/\1/p')
    if [ -n "$found" ] && at_least "$found" 0 17 0; then
        ok "buildx: $found"
    elif [ -n "$plugin" ] && ! at_least "$plugin" 2 40 2; then
        warn "buildx: ${found:-not there}; Compose $plugin does without, a newer one wants 0.17 or newer: deploy/install_docker_compose_simple.sh installs it"
    else
        failed "buildx: ${found:-\`docker buildx\` does not work}; Compose ${plugin:-2.40.2 and newer} builds images only with 0.17 or newer; deploy/install_docker_compose_simple.sh installs it"
    fi
}

check_config() {
    if [ ! -f "$file" ]; then
        failed "config: there is no $file; name yours: --file FILE"
    elif [ -z "$plugin" ]; then
        warn "config: not checked without the plugin"
    elif said=$(compose config --quiet 2>&1); then
        published=$(compose config 2>/dev/null | sed -n 's/^ *published: "\{0,1\}\([0-9]\{1,5\}\)"\{0,1\}$/\1/p')
        ok "config: $file is valid"
    elif [ -f "$folder/.env" ]; then
        failed "config: $(last_line "$said")$(missing) (settings are in $folder/.env)"
    else
        failed "config: $(last_line "$said")$(missing); there is no $folder/.env: cp deploy/.env.example .env, and fill it in"
    fi
}

# missing: prints the variables that the file demands and that have no value; Compose itself names only the first.
missing() {
    names=
    # shellcheck disable=SC2016  # the pattern is of the text, not of a variable
    for name in $(sed 's/#.*//' "$file" | grep -o '\${[A-Za-z0-9_]*:\{0,1\}?' | tr -d '${:?' | sort -u); do
        if [ -z "$(printenv "$name")" ] && ! grep -q "^ *\(export \)\{0,1\}$name=." "$folder/.env" 2>/dev/null; then
            names="$names $name"
        fi
    done
    [ -z "$names" ] || printf '; without a value:%s' "$names"
}

# listening PORT: does anything listen on it? 0 yes, 1 no, 2 cannot be told here.
listening() {
    if [ -r /proc/net/tcp ]; then
        # Local address and port in hexadecimal; 0A is LISTEN.
        cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
            awk -v port=":$(printf '%04X' "$1")" '$4 == "0A" && substr($2, length($2) - 4) == port {n++} END {exit !n}'
    elif command -v lsof >/dev/null; then
        lsof -nP -iTCP:"$1" -sTCP:LISTEN >/dev/null 2>&1
    else
        return 2
    fi
}

# holder PORT: prints which program listens on it, where that can be told.
holder() {
    ! command -v ss >/dev/null || ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (pid \2)/p' | head -n 1
}

check_port() {
    port=$1 status=0
    listening "$port" || status=$?
    case $status in
    1) ok "port $port: free" && return ;;
    2) warn "port $port: cannot be told without /proc or lsof" && return ;;
    esac
    by=
    [ -z "$engine" ] || by=$(limited 20 docker ps --filter "publish=$port" \
        --format '{{.Names}} {{.Label "com.docker.compose.project.working_dir"}}' 2>/dev/null | head -n 1) || by=
    if [ -n "$by" ] && [ "$(real "${by#* }")" = "$folder" ]; then
        ok "port $port: held by our own container ${by%% *}"
    elif [ -n "$by" ]; then
        failed "port $port: held by the container ${by%% *}; stop it (docker stop ${by%% *}), or publish another port in .env"
    else
        by=$(holder "$port") || by=
        failed "port $port: held by ${by:-another program (root sees which: ss -ltnp)}; stop it, or publish another port in .env"
    fi
}

check_ports() {
    # What Compose cannot tell, for want of a setting, is as the file has it.
    # shellcheck disable=SC2016  # the pattern is of the text, not of a variable
    [ -n "$published" ] || [ ! -f "$file" ] ||
        published=$(sed -n 's/^ *- .*\${[A-Z0-9_]*:-\([0-9]\{1,5\}\)}:[0-9]*"\{0,1\}$/\1/p' "$file")
    # shellcheck disable=SC2086  # a list of numbers
    for port in $(printf '%s\n' $ports $published | sort -nu); do
        check_port "$port"
    done
}

# real DIR: without symbolic links, when it is there.
real() {
    (cd "$1" 2>/dev/null && pwd -P) || printf '%s\n' "$1"
}

# roots_in FILE …: the data roots that these daemon.json name (`graph` is its old name).
roots_in() {
    sed -n 's/.*"\(data-root\|graph\)"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\2/p' "$@" 2>/dev/null || :
}

check_data_root() {
    [ -z "$engine" ] || root=$(limited 20 docker info --format '{{.DockerRootDir}}' 2>/dev/null) || root=
    if [ -z "$root" ]; then
        warn "data root: not known without the engine"
        return
    fi
    configured=$(roots_in "$daemon_json" | tail -n 1)
    expected=${configured:-$default_root}
    rootless=${XDG_DATA_HOME:-${HOME:-}/.local/share}/docker
    if [ "$(real "$root")" = "$(real "$expected")" ] || { [ -z "$configured" ] && [ "$root" = "$rootless" ]; }; then
        ok "data root: $root"
    elif [ -n "$configured" ]; then
        failed "data root: the engine uses $root, but $daemon_json says $configured: after its next restart all images and volumes would seem to be gone. Correct the file, or move the data, then: systemctl restart docker"
    else
        warn "data root: the engine uses $root, which $daemon_json does not name: dockerd's own --data-root, or the file was changed since the engine started (then the next restart uses $default_root)"
    fi
}

# looks_like_a_root DIR: does an engine keep, or has it kept, its data here?
looks_like_a_root() {
    for part in overlay2 volumes image containers btrfs zfs vfs aufs devicemapper; do
        [ ! -d "$1/$part" ] || return 0
    done
    return 1
}

check_leftovers() {
    found=
    # shellcheck disable=SC2046,SC2086  # lists of folders
    for old in $(printf '%s\n' "$default_root" $old_roots $(roots_in "$daemon_json"?*) | sort -u); do
        [ -d "$old" ] || continue
        [ -z "$root" ] || [ "$(real "$old")" != "$(real "$root")" ] || continue
        if [ ! -x "$old" ]; then
            warn "leftovers: $old cannot be looked into; run this as root" && found=1
        elif [ -z "$root" ]; then
            warn "leftovers: $old may be the engine's own; not known without the engine" && found=1
        elif looks_like_a_root "$old"; then
            warn "leftovers: $old holds data of another Docker, $(size "$old"), which this engine does not use; look for volumes you need in $old/volumes, then free the space: rm -rf $old" && found=1
        fi
    done
    [ -n "$found" ] || ok "leftovers: no data of an older data root found"
}

# size DIR: as a person reads it, or why not. Counting 200 GB of small files can take longer than anybody waits.
size() {
    if counted=$(limited 30 du -shx "$1" 2>/dev/null) && [ -n "$counted" ]; then
        printf '%s' "$counted" | cut -f 1
    else
        printf 'more than can be counted in 30 s'
    fi
}

# check_space WHAT DIR GB: is so much free there?
check_space() {
    there=$2
    while [ ! -e "$there" ] && [ "$there" != / ] && [ "$there" != . ]; do
        there=$(dirname "$there")
    done
    free=$(df -Pk "$there" 2>/dev/null | awk 'NR == 2 {print int($4 / 1048576)}')
    if [ -z "$free" ]; then
        warn "space: cannot be measured on $2"
    elif [ "$free" -lt "$3" ]; then
        failed "space: $free GB free for $1 ($2), $3 are wanted; free some (docker system df shows what can go), or ask for less: --min-root, --min-state"
    else
        ok "space: $free GB free for $1 ($2)"
    fi
}

check_disks() {
    if [ -z "$root" ]; then
        warn "space: the data root is not known without the engine"
    elif [ ! -e "$root" ]; then
        warn "space: $root is not on this machine (Docker Desktop, or DOCKER_HOST names another)"
    else
        check_space 'the data root' "$root" "$min_root"
    fi
    if [ -n "${STATE_DIR:-}" ]; then
        check_space 'the state' "$STATE_DIR" "$min_state"
    else
        ok "space: the state is a volume in the data root (STATE_DIR is not set)"
    fi
}

# number NAME VALUE HIGHEST: dies when it is no whole number from 1 on.
number() {
    case $2 in
    '' | *[!0-9]* | 0* | ??????*) die "$1 '$2' is not a whole number from 1 to $3" ;;
    esac
    [ "$2" -le "$3" ] || die "$1 '$2' is not a whole number from 1 to $3"
}

# needs_value OPTION COUNT: an option that takes a value must have one.
needs_value() {
    [ "$2" -ge 2 ] || die "$1 needs a value; --help says which"
}

file=${VERIFY_COMPOSE_FILE:-$(cd "$(dirname "$0")/.." && pwd -P)/docker-compose.yml}
ports=${VERIFY_PORTS:-}
old_roots=${VERIFY_OLD_ROOTS:-}
min_root=${VERIFY_MIN_ROOT_GB:-10}
min_state=${VERIFY_MIN_STATE_GB:-2}
daemon_json=${DOCKER_DAEMON_JSON:-/etc/docker/daemon.json}
default_root=${DOCKER_DEFAULT_ROOT:-/var/lib/docker}
engine='' plugin='' published='' root=''
while [ $# -gt 0 ]; do
    case $1 in
    --file) needs_value "$1" $#; file=$2; shift ;;
    --port) needs_value "$1" $#; ports="$ports $2"; shift ;;
    --old-root) needs_value "$1" $#; old_roots="$old_roots $2"; shift ;;
    --min-root) needs_value "$1" $#; min_root=$2; shift ;;
    --min-state) needs_value "$1" $#; min_state=$2; shift ;;
    --help | -h) usage; exit 0 ;;
    *) die "$1 is not an option; --help lists them" ;;
    esac
    shift
done
for port in $ports; do number --port "$port" 65535; done
number --min-root "$min_root" 99999
number --min-state "$min_state" 99999
# Compose looks for .env beside the file, and labels its containers with that folder.
folder=$(real "$(dirname "$file")")

check_engine
check_plugin
check_buildx
check_config
check_ports
check_data_root
check_leftovers
check_disks
[ "$failures" -eq 0 ]
