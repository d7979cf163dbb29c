#!/usr/bin/env bash
# What a user would write without a migrator: for each EPUB in $FOLDER a curl for each request. The metadata task needs a
# WebSocket, which curl does not speak everywhere: a coprocess in Python (its path is $1) calls it on one connection.
# Takes URL, WS_URL, USERNAME, PASSWORD, FOLDER from the environment.
set -euo pipefail
python=$1
api() { curl --silent --show-error --fail --max-time 60 --header "Authorization: bearer $token" "$@"; }
json() { api --header "Content-Type: application/json" --data "$1" "$2"; }
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p"; }

token=$(curl --silent --fail --header "Content-Type: application/json" \
  --data "{\"username\": \"$USERNAME\", \"password\": \"$PASSWORD\"}" "$URL/login" | field access_token)

coproc TASKS {
  exec "$python" -u -c '
import json, sys, websocket
socket = websocket.create_connection(sys.argv[1], timeout=60)
for number, line in enumerate(sys.stdin, 1):
    socket.send(json.dumps([number, "metadata", {"args": [line.strip()]}]))
    while True:
        frame = json.loads(socket.recv())
        if frame[0] == "m" and frame[2]["status"] in ("success", "error"):
            print(frame[2].get("result", ""), flush=True)
            break
' "$WS_URL?token=$token"
}

for book in "$FOLDER"/*.epub; do
  sha1=$(sha1sum "$book" | cut -d' ' -f1)
  size=$(stat -c %s "$book")
  json "{\"mime_type\": \"application/epub+zip\", \"extension\": \"epub\", \"size\": $size, \"hash\": \"$sha1\"}" \
    "$URL/api/upload/check" >/dev/null
  file=$(api --form "file=@$book;filename=$sha1.epub;type=application/epub+zip" "$URL/api/upload" | field file)
  echo "$file" >&"${TASKS[1]}"
  read -r upload <&"${TASKS[0]}"
  api "$URL/api/uploads-meta/$upload" >/dev/null
  title=$(basename "$book" .epub)
  ebook=$(json "{\"title\": \"$title\", \"language\": {\"id\": 1}, \"genres\": [], \"authors\": []}" \
    "$URL/api/ebooks" | field id)
  json "{\"upload_id\": $upload}" "$URL/api/ebooks/$ebook/add-upload" >/dev/null
done
