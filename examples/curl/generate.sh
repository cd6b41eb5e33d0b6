#!/bin/sh
# Makes a picture and writes it to a file:
#   NANOBANANA_API_KEY=nb_test_… sh generate.sh "a banana astronaut" banana.jpg
set -eu

url=${NANOBANANA_BASE_URL:-http://127.0.0.1:3000}
prompt=${1:-a banana astronaut}
file=${2:-banana.jpg}

api() { curl -sS --fail-with-body -H "Authorization: Bearer $NANOBANANA_API_KEY" "$@"; }
fail() {
  printf '%s\n' "$1" >&2
  exit 1
}
# The id and the status are the first fields, before anything that you sent.
status_of() { printf %s "$1" | sed 's/^{"id":"[^"]*","object":"generation","status":"\([^"]*\)".*/\1/'; }

# --retry obeys Retry-After. The Idempotency-Key is the same in each attempt, so one picture is
# made and paid for, whatever the network does. A form takes any prompt as it is; JSON would need escapes.
generation=$(api --retry 4 "$url/v1/generate" \
  -H "Idempotency-Key: example-$(date +%s)-$$" \
  --form-string "prompt=$prompt" -F output_format=jpeg) || fail "$generation"

# What takes longer than the service waits (90 s) is answered 202 and goes on.
id=$(printf %s "$generation" | sed 's/^{"id":"\([^"]*\)".*/\1/')
while [ "$(status_of "$generation")" = queued ] || [ "$(status_of "$generation")" = running ]; do
  sleep 2
  generation=$(api --retry 4 "$url/v1/generations/$id") || fail "$generation"
done
[ "$(status_of "$generation")" = succeeded ] || fail "$generation"

# This address lasts; the `url` in the answer works without a key, but expires.
image=$(printf %s "$generation" | sed 's/.*"images":\[{"id":"\([^"]*\)".*/\1/')
api "$url/v1/images/$image/content" -o "$file"
echo "$file"
