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
