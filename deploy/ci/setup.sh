#!/usr/bin/env bash
# Rendered by `holdfast render shop --only ci` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# Makes .venv with the command `holdfast`, the system's packages and those of its tests.
least=0 most=0
usage="usage: ci/setup.sh, at the root of the repository"
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

pip=(.venv/bin/pip install --quiet --disable-pip-version-check)
python3 -m venv .venv
"${pip[@]}" --require-hashes --requirement requirements/run.txt
"${pip[@]}" --require-hashes --requirement requirements/test.txt
"${pip[@]}" --require-hashes --requirement requirements/backend.txt
"${pip[@]}" --no-deps --no-build-isolation --editable .
