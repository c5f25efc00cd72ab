#!/usr/bin/env bash
# checkov 3.3.30 passes over a whole workflow of GitHub Actions in which a job may write attestations.
#
# Expected: a workflow with `permissions: {attestations: write}`, which provenance needs, is judged
# like any other; a shell injection in it is found, or the file is told to be unreadable.
# Behaviour: checkov matches the file with a schema of its own that has no such permission, and leaves
# the file out: no finding, no parsing error, exit code 0. The report counts nothing passed and
# nothing failed, which is all that gives it away; beside other workflows not even that.
#
# Exits with 0 while that is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check checkov==3.3.30
workflow() {  # permission, folder
  mkdir -p "$2/.github/workflows"
  cat > "$2/.github/workflows/greet.yml" <<YAML
name: Greet
on: issues
permissions: {}
jobs:
  greet:
    runs-on: ubuntu-24.04
    permissions:
      $1: write
    steps:
      - run: echo \${{ github.event.issue.title }}
YAML
}
findings() {
  "$folder/venv/bin/checkov" --directory "$1" --framework github_actions --skip-download --compact \
    --output json | grep -c '"check_id": "CKV_GHA_2"' || true
}
workflow packages "$folder/known"
workflow attestations "$folder/new"
known=$(findings "$folder/known")
new=$(findings "$folder/new")
echo "shell injections found: with packages $known, with attestations $new"
[ "$known" != 0 ] && [ "$new" = 0 ]
