#!/usr/bin/env bash
# checkov 3.3.30 passes over whole workflows of GitHub Actions that are newer than its own schema.
#
# Expected: a workflow with `permissions: {attestations: write}`, which provenance needs, or with an
# expression in `cancel-in-progress`, is judged like any other; a shell injection in it is found, or
# the file is told to be unreadable.
# Behaviour: checkov matches the file with a schema that takes neither, and leaves the file out: no
# finding, no parsing error, exit code 0. The report counts nothing passed and nothing failed, which
# is all that gives it away; beside other workflows not even that.
#
# Exits with 0 while that is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check checkov==3.3.30

found() {  # a permission, and what `cancel-in-progress` is: prints how often the injection is told
  local place
  place=$(mktemp -d -p "$folder")
  mkdir -p "$place/.github/workflows"
  cat > "$place/.github/workflows/greet.yml" <<YAML
name: Greet
on: issues
permissions: {}
concurrency:
  group: greet
  cancel-in-progress: $2
jobs:
  greet:
    runs-on: ubuntu-24.04
    permissions:
      $1: write
    steps:
      - run: echo \${{ github.event.issue.title }}
YAML
  "$folder/venv/bin/checkov" --directory "$place" --framework github_actions --skip-download \
    --compact --output json | grep -c '"check_id": "CKV_GHA_2"' || true
}
known=$(found packages true)
attesting=$(found attestations true)
expressed=$(found packages "\${{ github.ref == 'refs/heads/main' }}")
echo "told: $known; with attestations $attesting; with an expression $expressed"
[ "$known" != 0 ] && [ "$attesting" = 0 ] && [ "$expressed" = 0 ]
