#!/usr/bin/env bash
# Rendered by `holdfast render shop --only ci` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# What a change has to stand before an image is built of it.
least=0 most=0
usage="usage: ci/test.sh, at the root of the repository, after ci/setup.sh"
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

# The folder that this was rendered to, wherever it is called from.
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH="$PWD/.venv/bin:$PATH"
holdfast check shop
holdfast render shop --to "$folder" --check
python -m pytest
