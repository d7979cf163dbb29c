#!/usr/bin/env bash
# Runs the tests side by side:  ./run_tests.sh [--all] [--system-deps] [pytest arguments]
# --all          also those marked "slow": containers, clusters, files of 300 MB, ...; CI does.
# --system-deps  (root on Debian) first installs the programs some tests use; without them
#                those tests are skipped.
# `-n 0` runs one after the other. `make test` is the quick ring of them.
set -eu

script=${BASH_SOURCE[0]}
while [ -L "$script" ]; do
    target=$(readlink "$script")
    case $target in /*) script=$target ;; *) script=$(dirname "$script")/$target ;; esac
done
CDPATH="" cd -- "$(dirname -- "$script")"

chosen=(-m "not slow")
system_deps=
while :; do
    case ${1:-} in
        --all) chosen=() ;;
        --system-deps) system_deps=1 ;;
        *) break ;;
    esac
    shift
done

if [ -n "$system_deps" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "--system-deps needs root on Debian; without it the tests that need calibre, jq, postgresql, systemd, chromium or promtool are skipped" >&2
        exit 2
    fi
    missing=
    command -v calibredb >/dev/null || missing="$missing calibre"
    command -v dockerd >/dev/null || missing="$missing docker.io iptables"
    command -v systemd-analyze >/dev/null || missing="$missing systemd"
    command -v debootstrap >/dev/null || missing="$missing debootstrap"
    command -v iostat >/dev/null || missing="$missing sysstat"
    command -v mkfs.btrfs >/dev/null || missing="$missing btrfs-progs"
    command -v ip >/dev/null || missing="$missing iproute2"
    command -v faketime >/dev/null || missing="$missing faketime"
    command -v jq >/dev/null || missing="$missing jq"
    command -v curl >/dev/null || missing="$missing curl"
    command -v wget >/dev/null || missing="$missing wget"
    command -v ss >/dev/null || missing="$missing iproute2"
    command -v xz >/dev/null || missing="$missing xz-utils"
    command -v shellcheck >/dev/null || missing="$missing shellcheck"
    command -v chromium >/dev/null || missing="$missing chromium"
    command -v chromedriver >/dev/null || missing="$missing chromium-driver"
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing="$missing postgresql"
    if [ -n "$missing" ]; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        # shellcheck disable=SC2086  # a list of package names
        apt-get install -y -qq --no-install-recommends $missing >/dev/null
    fi
    if ! command -v promtool >/dev/null; then
        # Only the checker: Debian's package would also start a server.
        download=$(mktemp -d)
        apt-get update -qq
        (cd "$download" && apt-get download -qq prometheus >/dev/null && dpkg-deb -x prometheus_*.deb .)
        install -m 0755 "$download/usr/bin/promtool" /usr/local/bin/promtool
        rm -rf "$download"
    fi
fi
for program in calibredb faketime iostat jq systemd-analyze wget ss chromium chromedriver promtool; do
    command -v "$program" >/dev/null || echo "$program is not installed: the tests that need it are skipped" >&2
done

# shellcheck source=deploy/bootstrap.sh
. deploy/bootstrap.sh
bootstrap requirements-dev.txt
# Most of a test's time is waiting, so there are more processes than cores. Tests that share
# something dear to start (an engine, a database) are a group and stay on one process.
processes=$(($(nproc) * 2))
# The long ones of --all keep a core busy each: with fewer beside them nothing runs into its deadline.
[ "${#chosen[@]}" != 0 ] || processes=$(($(nproc) + 1))
[ "$processes" -le 8 ] || processes=8
exec .venv/bin/python -m pytest -n "$processes" --dist loadgroup "${chosen[@]}" "$@"
