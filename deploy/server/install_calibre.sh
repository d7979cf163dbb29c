#!/bin/sh
# Puts the archive of Calibre's own Linux release into a directory, once its published SHA-512 is seen to be right.
#   CALIBRE_VERSION=5.44.0 CALIBRE_URL=… CALIBRE_SHA512_URL=… install_calibre.sh DIRECTORY
#   install_calibre.sh --help
# CALIBRE_VERSION     which one; docs/deployment.md has the one that is installed by default
# CALIBRE_URL         the archive's address; @VERSION@ and @ARCH@ (x86_64 or arm64, as Calibre names them) are filled in
# CALIBRE_SHA512_URL  where its checksum is published: addresses, separated by blanks, the first that has it counts
# CALIBRE_SHA512      the checksum itself (128 hexadecimal digits), instead of CALIBRE_SHA512_URL
# Nothing is unpacked before the check. Exit status: 0 unpacked; 1 not to be had, or not what it should be; 2 usage.
set -eu

# help: prints the head of this file.
help() {
    sed -n '2,/^set -eu$/s/^# \{0,1\}//p' "$0"
}

fail() {
    status=$1
    shift
    printf 'install_calibre: %s\n' "$*" >&2
    exit "$status"
}

# architecture: what Calibre calls this machine's.
architecture() {
    machine=$(uname -m)
    case $machine in
    x86_64 | amd64) echo x86_64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) fail 2 "Calibre publishes nothing for $machine; build with CALIBRE_SOURCE=debian" ;;
    esac
}

# address TEMPLATE: the template filled in; only where nobody between can change what comes.
address() {
    filled=$(printf '%s' "$1" | sed -e "s|@VERSION@|$CALIBRE_VERSION|g" -e "s|@ARCH@|$arch|g")
    case $filled in
    https://* | http://127.0.0.1:*) printf '%s' "$filled" ;;
    *) fail 2 "$filled does not begin with https://" ;;
    esac
}

# fetch URL FILE
fetch() {
    curl --fail --location --silent --show-error --retry 3 --connect-timeout 30 --max-time 1800 --output "$2" "$1"
}

# published_checksum: prints the first checksum that CALIBRE_SHA512 or one of the addresses gives.
published_checksum() {
    if [ -n "${CALIBRE_SHA512:-}" ]; then
        printf '%s' "$CALIBRE_SHA512"
        return
    fi
    for template in $CALIBRE_SHA512_URL; do
        url=$(address "$template")
        if fetch "$url" "$work/sha512"; then
            # Some files hold the sum alone, some `sum  file name`.
            cut -d ' ' -f 1 "$work/sha512" | head -n 1
            return
        fi
    done
    fail 1 "no checksum for Calibre $CALIBRE_VERSION on $arch at $CALIBRE_SHA512_URL;" \
        "look at calibre-ebook.com whether it exists, give CALIBRE_SHA512, or build with CALIBRE_SOURCE=debian"
}

case ${1:-} in --help | -h) help && exit 0 ;; esac
if [ $# -ne 1 ] || [ -z "${CALIBRE_VERSION:-}" ] || [ -z "${CALIBRE_URL:-}" ] ||
    [ -z "${CALIBRE_SHA512_URL:-}${CALIBRE_SHA512:-}" ]; then
    fail 2 "usage: CALIBRE_VERSION=5.44.0 CALIBRE_URL=… CALIBRE_SHA512_URL=… install_calibre.sh DIRECTORY; --help says more"
fi
case $CALIBRE_VERSION in
*[!0-9.]* | .* | *. | *..*) fail 2 "CALIBRE_VERSION='$CALIBRE_VERSION' is not a version such as 5.44.0" ;;
esac
directory=$1
arch=$(architecture)
url=$(address "$CALIBRE_URL")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

checksum=$(published_checksum)
case $checksum in
*[!0-9a-fA-F]*) fail 1 "what was published as checksum is none: $(printf '%.60s' "$checksum" | tr -cd '[:print:]')" ;;
esac
[ "${#checksum}" -eq 128 ] || fail 1 "the checksum has ${#checksum} digits; a SHA-512 has 128"

fetch "$url" "$work/calibre.txz" || fail 1 "$url cannot be fetched; is there a Calibre $CALIBRE_VERSION for $arch?"
printf '%s  %s\n' "$checksum" "$work/calibre.txz" | sha512sum --check --status ||
    fail 1 "$url is not the file whose checksum was published; nothing was unpacked"
mkdir -p "$directory"
tar --extract --xz --no-same-owner --file "$work/calibre.txz" --directory "$directory"
for tool in ebook-meta ebook-convert; do
    [ -x "$directory/$tool" ] || fail 1 "there is no $tool in the archive"
done
