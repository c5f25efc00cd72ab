# Goes back to what an environment ran before its last deployment.
least=2 most=3
usage="usage: ci/rollback.sh git ENVIRONMENT [COMMIT]
       ci/rollback.sh helm ENVIRONMENT

  git   reverts the last deployment on the branch [= branches =], and pushes that
  helm  rolls the release [= system =] back, on the cluster of the current context

  ENVIRONMENT  [= names | join(", ") =]
  COMMIT       of the deployment; if another one came after it, nothing is done

What was rolled back is passed over: doing it twice goes back twice. Databases stay as they are;
the release before understands them, since migrations only add."
[% include "ci/begin.sh" %]

mode=$1 environment=$2 expected=${3:-}
[% include "ci/place.sh" %]
[% include "ci/environment.sh" %]

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
  local branch="[= branch =]" tip last earlier target commit
  cd "$folder"
  git fetch --quiet origin "refs/heads/$branch" || fail "origin has no $branch; nothing was deployed by Git"
  tip=$(git rev-parse FETCH_HEAD)
  if [ -n "$expected" ] && [ "$tip" != "$expected" ]; then
    fail "$branch is at $tip, not at $expected: another deployment came after it, and stays"
  fi
  last=$(deployment "$tip")
  earlier=$(before "$last")
  target=$(deployment "$earlier")
  commit=$(git commit-tree "$target^{tree}" -p "$tip" -m "Roll back [= system =] in $environment

This is again what $target deployed.

Rolls-back: $last")
  git push --quiet origin "$commit:refs/heads/$branch" >&2 ||
    fail "$branch was not pushed. If somebody else has deployed meanwhile, look what, and run this again."
  echo "$commit"
}

with_helm() {
  [ -z "$expected" ] || fail "helm knows no commits; leave $expected out"
  local target
  target=$(helm history [= system =] --namespace [= namespace =] --output json | jq -r '
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
  helm rollback [= system =] "$target" --namespace [= namespace =] --wait --timeout 10m ||
    fail "revision $target did not get well either; see \`helm history [= system =] -n [= namespace =]\`"
}

case "$mode" in
  git | helm) "with_$mode" ;;
  *) fail "'$mode' is no way to go back; write git or helm. After \`deploy.sh kubectl\`, deploy what was deployed before" ;;
esac
