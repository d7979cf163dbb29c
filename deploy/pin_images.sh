#!/usr/bin/env bash
# Pulls the base images of docker-compose.yml and writes their digests into .env, so that every build and every machine
# has the very same ones: BASE_IMAGE (of both images that are built) and POSTGRES_IMAGE. Run it again to take up newer
# ones; then build and start: docker compose up -d --build. The other lines of .env stay as they are.
#   deploy/pin_images.sh            the tags that .env names, else debian:bookworm-slim and postgres:15
#   deploy/pin_images.sh --help
# Needs Docker, and network to the registry that the tags are in.
set -euo pipefail

case ${1:-} in
"") ;;
-h | --help)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
*)
    echo "pin_images: usage: deploy/pin_images.sh" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."
file=.env
if [ ! -f "$file" ]; then
    echo "pin_images: there is no .env; make one: cp deploy/.env.example .env" >&2
    exit 2
fi
umask 077
new=$(mktemp .env.XXXXXX)
trap 'rm -f "$new"' EXIT

# tag NAME DEFAULT: the image that .env names, without a digest.
tag() {
    local named
    named=$(sed -n "s/^$1=//p" "$file" | tail -n 1 | tr -d "'\"")
    named=${named:-$2}
    echo "${named%%@*}"
}

# pin NAME DEFAULT: writes NAME=IMAGE@DIGEST into .env.
pin() {
    local image digest
    image=$(tag "$1" "$2")
    docker pull --quiet "$image" >/dev/null || {
        echo "pin_images: $image cannot be pulled; .env is as it was" >&2
        exit 1
    }
    # The name may have a registry with a port, but a digest has no colon before its own.
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image" |
        sed -n 's/^.*@\(sha256:[0-9a-f]\{64\}\)$/\1/p' | head -n 1)
    if [ -z "$digest" ]; then
        echo "pin_images: $image has no digest: it was made here, not pulled; .env is as it was" >&2
        exit 1
    fi
    pinned+=("$1=$image@$digest")
}

pinned=()
pin BASE_IMAGE debian:bookworm-slim
pin POSTGRES_IMAGE "postgres:$(tag POSTGRES_VERSION 15)"
grep -v -E '^(BASE_IMAGE|POSTGRES_IMAGE)=' "$file" >"$new" || :
printf '%s\n' "${pinned[@]}" >>"$new"
mv "$new" "$file"
printf 'pin_images: %s\n' "${pinned[@]}"
