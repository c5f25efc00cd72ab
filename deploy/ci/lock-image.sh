#!/usr/bin/env bash
# Rendered by `holdfast render shop --only ci` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# Writes the digest of an image into images.lock, and renders again, so that it is everywhere.
least=1 most=99
usage="usage: ci/lock-image.sh NAME [DIGEST [OPTION]...]

  NAME    an environment (staging, production), whose image of the system this is,
          or one of the servers that images.lock lists
  DIGEST  sha256: and 64 hex digits, or \`unresolved\`; without it, the registry is asked for
          that of a server, by skopeo or by docker
  OPTION  of \`holdfast render\`, such as --runbooks URL

Run it where \`holdfast check shop\` works."
set -euo pipefail

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

if [ "${1:-}" = "--help" ]; then
  echo "$usage"
  exit 0
fi
if (( $# < least || $# > most )); then
  echo "$usage" >&2
  exit 2
fi

name=$1 digest=${2:-}
shift $(( $# < 2 ? $# : 2 ))
# The folder that this was rendered to, wherever it is called from.
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH="$PWD/.venv/bin:$PATH"
lock="$folder/images.lock"
[ -f "$lock" ] || fail "there is no $lock; render it with: holdfast render shop --to $folder"
[[ "$name" =~ ^[a-z][a-z0-9-]*$ ]] || fail "'$name' is no name in $lock"
line=$(grep -m 1 -E "^$name = " "$lock") || fail "$lock has no '$name'"

if [ -z "$digest" ]; then
  reference=$(sed -n 's/.*  # //p' <<< "$line")
  [ -n "$reference" ] || fail "whoever builds the image of $name knows its digest; give it"
  if command -v skopeo > /dev/null; then
    digest=$(skopeo inspect --no-tags --format '{{.Digest}}' "docker://$reference")
  elif command -v docker > /dev/null; then
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$reference")
  else
    fail "neither skopeo nor docker is here to ask for $reference; give its digest"
  fi
fi
[[ "$digest" =~ ^sha256:[0-9a-f]{64}$ || "$digest" = unresolved ]] ||
  fail "'$digest' is no digest; write sha256: and 64 hex digits"

before=$(mktemp)
cp "$lock" "$before"
# What was not rendered was not locked.
trap 'rc=$?; (( rc == 0 )) || cat "$before" > "$lock"; rm -f "$before"' EXIT
awk -v name="$name" -v digest="$digest" '
  !done && $1 == name && $2 == "=" { sub(/"[^"]*"/, "\"" digest "\""); done = 1 }
  { print }' "$before" > "$lock"
holdfast render shop --to "$folder" "$@"
