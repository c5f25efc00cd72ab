#!/usr/bin/env bash
# Rendered by `holdfast render shop --only ci` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# Goes back to what an environment ran before its last deployment.
least=2 most=3
usage="usage: ci/rollback.sh git ENVIRONMENT [COMMIT]
       ci/rollback.sh helm ENVIRONMENT

  git   reverts the last deployment on the branch environments/ENVIRONMENT, and pushes that
  helm  rolls the release shop back, on the cluster of the current context

  ENVIRONMENT  staging, production
  COMMIT       of the deployment; if another one came after it, nothing is done

What was rolled back is passed over: doing it twice goes back twice. Databases stay as they are;
the release before understands them, since migrations only add."
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

mode=$1 environment=$2 expected=${3:-}
# The folder that this was rendered to, wherever it is called from.
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH="$PWD/.venv/bin:$PATH"
case "$environment" in
  staging | production) ;;
  *) fail "there is no environment '$environment'; there is staging, production" ;;
esac

# The deployment whose state a commit has: itself, unless it rolled another one back.
deployment() {
  local commit=$1 rolled
  while rolled=$(git log -1 --format='%(trailers:key=Rolls-back,valueonly)' "$commit") && rolled=${rolled%%$'\n'*} && [ -n "$rolled" ]; do
    commit=$(before "$rolled") || exit 1
  done
  echo "$commit"
}

before() {
  git rev-parse --verify --quiet "$1^" || fail "$1 is the first deployment to $environment; there is nothing to go back to"
}

with_git() {
  local branch="environments/$environment" tip last earlier target commit
  cd "$folder"
  git fetch --quiet origin "refs/heads/$branch" || fail "origin has no $branch; nothing was deployed by Git"
  tip=$(git rev-parse FETCH_HEAD)
  if [ -n "$expected" ] && [ "$tip" != "$expected" ]; then
    fail "$branch is at $tip, not at $expected: another deployment came after it, and stays"
  fi
  last=$(deployment "$tip")
  earlier=$(before "$last")
  target=$(deployment "$earlier")
  commit=$(git commit-tree "$target^{tree}" -p "$tip" -m "Roll back shop in $environment

This is again what $target deployed.

Rolls-back: $last")
  git push --quiet origin "$commit:refs/heads/$branch" >&2 ||
    fail "$branch was not pushed. If somebody else has deployed meanwhile, look what, and run this again."
  echo "$commit"
}

with_helm() {
  [ -z "$expected" ] || fail "helm knows no commits; leave $expected out"
  local target
  target=$(helm history shop --namespace shop --output json | jq -r '
    # The revision whose state one has: itself, unless it rolled back to another one.
    def state($all):
      ([.description | capture("^Rollback to (?<to>[0-9]+)") | .to | tonumber] | first) as $to
      | ([$all[] | select(.revision == $to)] | first) as $other
      | if $other == null then . else $other | state($all) end;
    . as $all
    | (max_by(.revision) | state($all) | .revision) as $last
    | [$all[] | select(.status == "superseded" or .status == "deployed") | state($all) | .revision
       | select(. < $last)]
    | max // empty')
  [ -n "$target" ] || fail "no release before this one went well; there is nothing to go back to"
  helm rollback shop "$target" --namespace shop --wait --timeout 10m ||
    fail "revision $target did not get well either; see \`helm history shop -n shop\`"
}

case "$mode" in
  git | helm) "with_$mode" ;;
  *) fail "'$mode' is no way to go back; write git or helm. After \`deploy.sh kubectl\`, deploy what was deployed before" ;;
esac
