#!/bin/sh
# Installs Docker's Compose V2 plugin (`docker compose`) from its published binary; --help says more.
set -eu

me=install_docker_compose_simple
temporary=''

usage() {
    cat <<'TEXT'
usage: deploy/install_docker_compose_simple.sh [OPTION …]

Installs the Compose V2 plugin, so that `docker compose` works: downloads the published program and its checksum,
compares them, tries the program, and only then puts it in place.

  --version V     version to install [default: 2.40.3; environment: DOCKER_COMPOSE_VERSION]
  --dir DIR       plugin folder [default: /usr/libexec/docker/cli-plugins for root, ~/.docker/cli-plugins for others;
                  environment: DOCKER_COMPOSE_DIR]
  --arch NAME     machine, as `uname -m` or Docker names it [default: this one; environment: DOCKER_COMPOSE_ARCH]
  --url URL       where the releases are; V and the file's name are put after it
                  [default: https://github.com/docker/compose/releases/download; environment: DOCKER_COMPOSE_URL]
  --force         install even if a plugin that works is there already
  --dry-run       say what would be done; download and write nothing
  --help          this text

Further environment: DOCKER_COMPOSE_STALL_SECONDS, after which a download that does not move is given up [60].

examples:
  sudo deploy/install_docker_compose_simple.sh
  deploy/install_docker_compose_simple.sh --dir ~/.docker/cli-plugins --version 2.39.1

exit status: 0 installed, or --dry-run; 1 not installed, and why; 2 wrong usage; 3 one that works is there already
TEXT
}

say() {
    printf '%s\n' "$*"
}

# die STATUS MESSAGE …
die() {
    status=$1
    shift
    printf '%s: %s\n' "$me" "$*" >&2
    exit "$status"
}

tidy() {
    [ -z "$temporary" ] || rm -f "$temporary" "$temporary.sha256" "$temporary.said"
}

# needs_value OPTION COUNT: an option that takes a value must have one.
needs_value() {
    [ "$2" -ge 2 ] || die 2 "$1 needs a value; --help says which"
}

# machine NAME: prints what Docker calls it in the names of its files, or nothing.
machine() {
    case $1 in
    x86_64 | amd64) say x86_64 ;;
    aarch64 | arm64) say aarch64 ;;
    armv7 | armv7l | armv8l | armhf) say armv7 ;;
    armv6 | armv6l) say armv6 ;;
    ppc64le | riscv64 | s390x) say "$1" ;;
    esac
}

# system: prints what Docker calls this operating system, or nothing.
system() {
    case $(uname -s) in
    Linux) say linux ;;
    Darwin) say darwin ;;
    esac
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

# working: prints how the plugin that works already is known; nothing when there is none.
working() {
    if command -v docker >/dev/null && found=$(limited 20 docker compose version --short 2>/dev/null) && [ -n "$found" ]; then
        say "\`docker compose\` is there already, version ${found#v}"
    elif [ -x "$target" ] && found=$(limited 20 "$target" version --short 2>/dev/null) && [ -n "$found" ]; then
        say "$target is there already, version ${found#v}"
    fi
}

# fetch URL FILE: downloads a file whole; $stall seconds without data, or 15 minutes in all, are too long. What the
# downloading program says is in $temporary.said.
fetch() {
    if command -v curl >/dev/null; then
        only=https
        case $1 in http:*) only=http,https ;; esac
        curl --fail --silent --show-error --location --proto "=$only" --connect-timeout "$stall" \
            --speed-limit 1 --speed-time "$stall" --max-time 900 --output "$2" "$1" 2>"$temporary.said"
    else
        limited 900 wget --no-verbose --tries=1 --timeout="$stall" --output-document="$2" "$1" 2>"$temporary.said"
    fi
}

# get URL FILE: fetches, or dies with what the downloading program said.
get() {
    ! fetch "$1" "$2" || return 0
    said=$(tail -n 1 "$temporary.said" | tr -d '\r')
    case $said in
    *404*) die 1 "there is no $1 (404): is version $version right, and is it published for $arch?" ;;
    *) die 1 "cannot download $1: ${said:-it took too long}" ;;
    esac
}

# sha256 FILE: prints its checksum.
sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum "$1" | cut -d ' ' -f 1
    elif command -v shasum >/dev/null; then
        shasum -a 256 "$1" | cut -d ' ' -f 1
    else
        openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1
    fi
}

# published FILE: prints the checksum that a `.sha256` file gives; nothing when it gives none.
published() {
    read -r sum _ <"$1" || :
    case ${sum:-} in
    *[!0-9a-fA-F]*) ;;
    *) [ "${#sum}" -ne 64 ] || printf '%s\n' "$sum" | tr A-F a-f ;;
    esac
}

# check_tools: what is needed to download and to check.
check_tools() {
    command -v curl >/dev/null || command -v wget >/dev/null ||
        die 1 "neither curl nor wget is installed; install one (Debian: apt install curl)"
    command -v sha256sum >/dev/null || command -v shasum >/dev/null || command -v openssl >/dev/null ||
        die 1 "no program for SHA-256 checksums; install coreutils or openssl"
}

# check_folder: makes the plugin folder, or says why not.
check_folder() {
    mkdir -p "$dir" 2>/dev/null || :
    [ -w "$dir" ] ||
        die 1 "cannot write $dir; run it as root, or name another folder: --dir ~/.docker/cli-plugins"
}

# install_it: downloads beside the target, checks, tries, and renames.
install_it() {
    temporary=$(mktemp "$dir/.docker-compose.XXXXXX") || die 1 "cannot write $dir"
    get "$url.sha256" "$temporary.sha256"
    wanted=$(published "$temporary.sha256")
    [ -n "$wanted" ] || die 1 "$url.sha256 holds no SHA-256 checksum; nothing was installed"
    get "$url" "$temporary"
    found=$(sha256 "$temporary")
    [ "$found" = "$wanted" ] ||
        die 1 "the checksum of $url is wrong: $found instead of $wanted; nothing was installed. Try again; if it stays, do not trust that server"
    chmod 755 "$temporary"
    if ! answer=$(limited 60 "$temporary" version --short 2>&1); then
        die 1 "$url does not run on this machine: $(printf '%s' "$answer" | tail -n 1); is --arch $arch right? Nothing was installed"
    fi
    mv -f "$temporary" "$target"
}

# conclude: does Docker use what has been installed?
conclude() {
    say "Installed $target, version ${answer#v}"
    if ! command -v docker >/dev/null; then
        say "Docker itself is not installed here (Debian: apt install docker.io)"
    elif ! used=$(limited 20 docker compose version --short 2>/dev/null); then
        say "\`docker compose\` does not find it there; Docker looks in ~/.docker/cli-plugins and in the folders that \`docker info\` names"
    elif [ "${used#v}" != "${answer#v}" ]; then
        say "\`docker compose\` is version ${used#v} all the same: another plugin comes before $dir (~/.docker/cli-plugins is the first)"
    fi
}

version=${DOCKER_COMPOSE_VERSION:-2.40.3}
base=${DOCKER_COMPOSE_URL:-https://github.com/docker/compose/releases/download}
machine=${DOCKER_COMPOSE_ARCH:-}
dir=${DOCKER_COMPOSE_DIR:-}
stall=${DOCKER_COMPOSE_STALL_SECONDS:-60}
force='' dry_run=''
while [ $# -gt 0 ]; do
    case $1 in
    --version) needs_value "$1" $#; version=$2; shift ;;
    --dir) needs_value "$1" $#; dir=$2; shift ;;
    --arch) needs_value "$1" $#; machine=$2; shift ;;
    --url) needs_value "$1" $#; base=$2; shift ;;
    --force) force=1 ;;
    --dry-run) dry_run=1 ;;
    --help | -h) usage; exit 0 ;;
    *) die 2 "$1 is not an option; --help lists them" ;;
    esac
    shift
done

version=${version#v}
case $version in
*[!0-9A-Za-z.-]* | [!0-9]* | '') die 2 "--version '$version' is no version such as 2.40.3" ;;
esac
case $base in
http://?* | https://?*) ;;
*) die 2 "--url '$base' is no http:// or https:// address" ;;
esac
case $stall in
'' | *[!0-9]* | 0* | ????*) die 2 "DOCKER_COMPOSE_STALL_SECONDS='$stall' is not a whole number from 1 to 999" ;;
esac
system=$(system)
[ -n "$system" ] || die 1 "Docker publishes no plugin for $(uname -s); see https://docs.docker.com/compose/install/"
machine=${machine:-$(uname -m)}
arch=$(machine "$machine")
[ -n "$arch" ] ||
    die 1 "Docker publishes no plugin for the machine '$machine'; known: x86_64, aarch64, armv6, armv7, ppc64le, riscv64, s390x. If that is not this machine, name it: --arch NAME"
if [ -z "$dir" ]; then
    if [ "$(id -u)" = 0 ]; then
        dir=/usr/libexec/docker/cli-plugins
    else
        dir=${HOME:?is not set; name the folder: --dir DIR}/.docker/cli-plugins
    fi
fi
target=$dir/docker-compose
url=${base%/}/v$version/docker-compose-$system-$arch

already=$(working)
if [ -n "$already" ] && [ -z "$force" ]; then
    die 3 "$already; nothing was done. --force installs version $version into $dir all the same"
fi
check_tools
say "Compose plugin $version for $system-$arch"
say "  from      $url"
say "  checksum  $url.sha256"
say "  to        $target${already:+  ($already)}"
if [ -n "$dry_run" ]; then
    say "Nothing was done (--dry-run)."
    exit 0
fi
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
check_folder
install_it
conclude
