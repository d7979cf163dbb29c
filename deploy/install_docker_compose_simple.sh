#!/bin/sh
# Installs Docker's Compose V2 plugin (`docker compose`), and the buildx plugin it needs to build, from their published
# programs; --help says more.
set -eu

me=install_docker_compose_simple
temporary=''

usage() {
    cat <<'TEXT'
usage: deploy/install_docker_compose_simple.sh [OPTION …]

Installs the Compose V2 plugin, so that `docker compose` works, and buildx, without which this Compose builds nothing
(0.17 or newer; Debian 13 has 0.13). Each published program is downloaded, compared with the checksum that this script
has, tried, and only then put in place. What works already is left as it is.

  --version V     Compose's version [default: 2.40.3; environment: DOCKER_COMPOSE_VERSION]
  --sha256 SUM    the checksum of that program [default: the one in this script; environment: DOCKER_COMPOSE_SHA256]
  --dir DIR       plugin folder [default: /usr/libexec/docker/cli-plugins for root, for buildx
                  /usr/local/libexec/docker/cli-plugins, so that no package's file is overwritten; for others
                  ~/.docker/cli-plugins; environment: DOCKER_COMPOSE_DIR]
  --arch NAME     machine, as `uname -m` or Docker names it [default: this one; environment: DOCKER_COMPOSE_ARCH]
  --url URL       where Compose's releases are; V and the file's name are put after it
                  [default: https://github.com/docker/compose/releases/download; environment: DOCKER_COMPOSE_URL]
  --buildx-version V, --buildx-sha256 SUM, --buildx-url URL
                  the same of buildx [default: 0.30.1, https://github.com/docker/buildx/releases/download;
                  environment: DOCKER_BUILDX_VERSION, DOCKER_BUILDX_SHA256, DOCKER_BUILDX_URL]
  --without-buildx  Compose alone
  --force         install even if plugins that work are there already
  --dry-run       say what would be done; download and write nothing
  --pins          print the checksums in this script
  --help          this text

Further environment: DOCKER_COMPOSE_STALL_SECONDS, after which a download that does not move is given up [60].

The checksums in this script are those with which Docker's official image is built, as recorded by another party than
the server that the programs come from: https://github.com/docker-library/docker, versions.json, commit 64aaac0. For
another version, give the one that you find there (`git log -S VERSION -- versions.json`), or one that you have checked
otherwise; a checksum from beside the program says only that the download is whole.

examples:
  sudo deploy/install_docker_compose_simple.sh
  deploy/install_docker_compose_simple.sh --dir ~/.docker/cli-plugins --version 2.40.2 --sha256 6c964d96…

exit status: 0 installed, or --dry-run; 1 not installed, and why; 2 wrong usage; 3 what works is there already
TEXT
}

# pins: one line per program: plugin, version, system and machine as in the file's name, SHA-256.
pins() {
    cat <<'TEXT'
compose 2.40.3 linux-x86_64 dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372
compose 2.40.3 linux-aarch64 d26373b19e89160546d15407516cc59f453030d9bc5b43ba7faf16f7b4980137
compose 2.40.3 linux-armv7 66aa2f460820b17aaa71e65b2c70e55eb27c11bdb9816169c322065a5b016d29
compose 2.40.3 linux-armv6 cea4d6b6de410d220426806ef67ce7fadb4b914029f49a66fb222d4525ac6871
compose 2.40.3 linux-ppc64le 9be50cafe912442b27af48c44516b7ce2a65777ff121acf241dd5dba09d4f36c
compose 2.40.3 linux-riscv64 b52a2dcb0c221b5abd1d14729ed118aa24cf79012b5f2f992ddf6bc9c2e7f9fd
compose 2.40.3 linux-s390x 3caf6694c974d13a2754689ffb8f93bc29d084ee60fb7f9ebd4b682264dad9fe
compose 2.40.3 darwin-x86_64 53528ecff0182546d92d7cc3f50dc78f9b387c3da68b4a3fd0cf2c48dab77133
compose 2.40.3 darwin-aarch64 8cd7eb5f95bacb536cc407111662e2c205d67d9abfea5dcb8400be8418db60d1
buildx 0.30.1 linux-amd64 c37114fcd034025ec68e224657c8a5a850df472ded3ddcbca75ad3a7ebb9710d
buildx 0.30.1 linux-arm64 31d012d52d6df68aef4b55db62330967b562811f0de30cdfaa4505f314797c76
buildx 0.30.1 linux-arm-v7 32646cb57c43640a71c81f206897b78a8f1abe6b6db62bab115b5940fc5be884
buildx 0.30.1 linux-arm-v6 348d17c7cc881e9268255d6f404669ae29789003575d1da9d97b51cd6ca7f0dd
buildx 0.30.1 linux-ppc64le 13523e8d1820019f404df31c7ec17c7a76c16f638dd04acc33f5d141f683247c
buildx 0.30.1 linux-riscv64 86af30811ceaad9fc34a6bc02e5d093d1460ec24f125c47e639ed1fac9effe83
buildx 0.30.1 linux-s390x b752c6824bcc355b012d6f595987706fef15243792fe755f50de76c979bc592d
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
    [ -z "$temporary" ] || rm -f "$temporary" "$temporary.said"
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

# for_buildx MACHINE: prints what the files of buildx call that machine.
for_buildx() {
    case $1 in
    x86_64) say amd64 ;;
    aarch64) say arm64 ;;
    armv7) say arm-v7 ;;
    armv6) say arm-v6 ;;
    *) say "$1" ;;
    esac
}

# choose PLUGIN: from here on the variables below are about this one.
choose() {
    plugin=$1
    if [ "$plugin" = compose ]; then
        version=$compose_version base=$compose_url given=$compose_sum where=$dir least=2.0
        build=$system-$arch
        url=${base%/}/v$version/docker-compose-$build
    else
        version=$buildx_version base=$buildx_url given=$buildx_sum where=$buildx_dir least=0.17
        build=$system-$(for_buildx "$arch")
        url=${base%/}/v$version/buildx-v$version.$build
    fi
    target=$where/docker-$plugin
    wanted=$(printf '%s' "$given" | tr A-F a-f)
    [ -n "$wanted" ] ||
        wanted=$(pins | sed -n "s/^$plugin $(printf '%s' "$version" | sed 's/\./\\./g') $build //p")
}

# version_of COMMAND …: prints the version a plugin says it has, without the v; nothing when it does not work.
version_of() {
    answer=$(limited 60 "$@" 2>&1) || return 1
    # buildx answers with its address, version and commit.
    answer=$(printf '%s\n' "$answer" | sed -n '1s/^github\.com[^ ]* \([^ ]*\).*/\1/; 1p')
    printf '%s' "${answer#v}"
}

# told_by COMMAND …: the version that the chosen plugin tells, asked in its own way.
told_by() {
    if [ "$plugin" = compose ]; then
        version_of "$@" version --short
    else
        version_of "$@" version
    fi
}

# new_enough VERSION: is it at least $least?
new_enough() {
    case $1 in
    [0-9]*.[0-9]*) ;;
    *) return 1 ;;
    esac
    minor=${1#*.}
    minor=${minor%%[!0-9]*}
    [ "${1%%.*}" -gt "${least%%.*}" ] ||
        { [ "${1%%.*}" -eq "${least%%.*}" ] && [ "$minor" -ge "${least#*.}" ]; }
}

# working: prints how the chosen plugin that works already is known; nothing when there is none that is new enough.
working() {
    if command -v docker >/dev/null && found=$(told_by docker "$plugin" 2>/dev/null) && new_enough "$found"; then
        say "\`docker $plugin\` is there already, version $found"
    elif [ -x "$target" ] && found=$(told_by "$target" 2>/dev/null) && new_enough "$found"; then
        say "$target is there already, version $found"
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

# check_tools: what is needed to download and to check.
check_tools() {
    command -v curl >/dev/null || command -v wget >/dev/null ||
        die 1 "neither curl nor wget is installed; install one (Debian: apt install curl)"
    command -v sha256sum >/dev/null || command -v shasum >/dev/null || command -v openssl >/dev/null ||
        die 1 "no program for SHA-256 checksums; install coreutils or openssl"
}

# check_sum: is there a checksum to compare with, and can it be one?
check_sum() {
    case $wanted in
    '') die 2 "this script has no checksum of $plugin $version for $build: give --${option}sha256 SUM, from another place than the server that the program comes from (--help says which)" ;;
    *[!0-9a-f]*) die 2 "--${option}sha256 '$wanted' is no SHA-256 checksum" ;;
    esac
    [ "${#wanted}" -eq 64 ] || die 2 "--${option}sha256 '$wanted' is no SHA-256 checksum"
}

# check_folder: makes the plugin folder, or says why not.
check_folder() {
    mkdir -p "$where" 2>/dev/null || :
    [ -w "$where" ] ||
        die 1 "cannot write $where; run it as root, or name another folder: --dir ~/.docker/cli-plugins"
}

# install_it: downloads beside the target, checks, tries, and renames.
install_it() {
    temporary=$(mktemp "$where/.docker-$plugin.XXXXXX") || die 1 "cannot write $where"
    get "$url" "$temporary"
    found=$(sha256 "$temporary")
    [ "$found" = "$wanted" ] ||
        die 1 "the checksum of $url is wrong: $found instead of $wanted; $plugin was not installed. Try again; if it stays, do not trust that server"
    chmod 755 "$temporary"
    if ! has=$(told_by "$temporary"); then
        die 1 "$url does not run on this machine: $(limited 60 "$temporary" version 2>&1 | tail -n 1); is --arch $arch right? $plugin was not installed"
    fi
    mv -f "$temporary" "$target"
    rm -f "$temporary.said"
}

# conclude: does Docker use what has been installed?
conclude() {
    say "Installed $target, version $has"
    if ! command -v docker >/dev/null; then
        say "Docker itself is not installed here (Debian: apt install docker.io)"
    elif ! used=$(told_by docker "$plugin" 2>/dev/null); then
        say "\`docker $plugin\` does not find it there; Docker looks in ~/.docker/cli-plugins and in the folders that \`docker info\` names"
    elif [ "$used" != "$has" ]; then
        say "\`docker $plugin\` is version $used all the same: another plugin comes before $where (~/.docker/cli-plugins is the first)"
    fi
}

# consider PLUGIN: installs it, or says why that is not needed. Adds to $done and $kept.
consider() {
    choose "$1"
    option=
    [ "$plugin" = compose ] || option=buildx-
    already=$(working)
    if [ -n "$already" ] && [ -z "$force" ]; then
        kept="${kept:+$kept; }$already"
        return
    fi
    check_sum
    check_tools
    say "$plugin plugin $version for $build"
    say "  from      $url"
    say "  SHA-256   $wanted${given:+ (as given)}"
    say "  to        $target${already:+  ($already)}"
    done="$done $plugin"
    [ -z "$dry_run" ] || return 0
    check_folder
    install_it
    conclude
}

# check_version OPTION VERSION
check_version() {
    case $2 in
    *[!0-9A-Za-z.-]* | [!0-9]* | '') die 2 "$1 '$2' is no version such as 2.40.3" ;;
    esac
}

# check_url OPTION URL
check_url() {
    case $2 in
    http://?* | https://?*) ;;
    *) die 2 "$1 '$2' is no http:// or https:// address" ;;
    esac
}

compose_version=${DOCKER_COMPOSE_VERSION:-2.40.3}
compose_url=${DOCKER_COMPOSE_URL:-https://github.com/docker/compose/releases/download}
compose_sum=${DOCKER_COMPOSE_SHA256:-}
buildx_version=${DOCKER_BUILDX_VERSION:-0.30.1}
buildx_url=${DOCKER_BUILDX_URL:-https://github.com/docker/buildx/releases/download}
buildx_sum=${DOCKER_BUILDX_SHA256:-}
machine=${DOCKER_COMPOSE_ARCH:-}
dir=${DOCKER_COMPOSE_DIR:-}
stall=${DOCKER_COMPOSE_STALL_SECONDS:-60}
force='' dry_run='' buildx=1
while [ $# -gt 0 ]; do
    case $1 in
    --version) needs_value "$1" $#; compose_version=$2; shift ;;
    --sha256) needs_value "$1" $#; compose_sum=$2; shift ;;
    --dir) needs_value "$1" $#; dir=$2; shift ;;
    --arch) needs_value "$1" $#; machine=$2; shift ;;
    --url) needs_value "$1" $#; compose_url=$2; shift ;;
    --buildx-version) needs_value "$1" $#; buildx_version=$2; shift ;;
    --buildx-sha256) needs_value "$1" $#; buildx_sum=$2; shift ;;
    --buildx-url) needs_value "$1" $#; buildx_url=$2; shift ;;
    --without-buildx) buildx='' ;;
    --force) force=1 ;;
    --dry-run) dry_run=1 ;;
    --pins) pins; exit 0 ;;
    --help | -h) usage; exit 0 ;;
    *) die 2 "$1 is not an option; --help lists them" ;;
    esac
    shift
done

compose_version=${compose_version#v} buildx_version=${buildx_version#v}
check_version --version "$compose_version"
check_version --buildx-version "$buildx_version"
check_url --url "$compose_url"
check_url --buildx-url "$buildx_url"
case $stall in
'' | *[!0-9]* | 0* | ????*) die 2 "DOCKER_COMPOSE_STALL_SECONDS='$stall' is not a whole number from 1 to 999" ;;
esac
system=$(system)
[ -n "$system" ] || die 1 "Docker publishes no plugin for $(uname -s); see https://docs.docker.com/compose/install/"
machine=${machine:-$(uname -m)}
arch=$(machine "$machine")
[ -n "$arch" ] ||
    die 1 "Docker publishes no plugin for the machine '$machine'; known: x86_64, aarch64, armv6, armv7, ppc64le, riscv64, s390x. If that is not this machine, name it: --arch NAME"
buildx_dir=$dir
if [ -z "$dir" ]; then
    if [ "$(id -u)" = 0 ]; then
        dir=/usr/libexec/docker/cli-plugins buildx_dir=/usr/local/libexec/docker/cli-plugins
    else
        dir=${HOME:?is not set; name the folder: --dir DIR}/.docker/cli-plugins
        buildx_dir=$dir
    fi
fi

trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
done='' kept=''
consider compose
[ -z "$buildx" ] || consider buildx
[ -n "$done" ] ||
    die 3 "$kept; nothing was done. --force installs all the same"
[ -z "$kept" ] || say "$kept"
[ -z "$dry_run" ] || say "Nothing was done (--dry-run)."
