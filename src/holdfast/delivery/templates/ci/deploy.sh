# Brings what is rendered to an environment.
least=2 most=2
usage="usage: ci/deploy.sh git|helm|kubectl ENVIRONMENT

  git      commits what is rendered for clusters to the branch [= branches =] and pushes it to
           origin; Argo CD or Flux do the rest. Prints the commit
  helm     upgrades the release [= system =], and waits until it is well
  kubectl  applies the manifests, waits for the migration, then for every process

  ENVIRONMENT  [= names | join(", ") =]

helm and kubectl act on the cluster of the current context."
[% include "ci/begin.sh" %]

mode=$1 environment=$2
case "$mode" in
  git | helm | kubectl) ;;
  *) fail "'$mode' is no way to deploy; write git, helm or kubectl" ;;
esac
[% include "ci/place.sh" %]
[% include "ci/environment.sh" %]
lacking=$(grep -rhoE '(image|imageName): .*' "$folder/kubernetes/$environment" | grep -v '@sha256:' | sort -u) || true
[ -z "$lacking" ] || fail "$environment has images without a digest, which its cluster refuses:
$lacking
Resolve each with ci/lock-image.sh; images.lock lists them."

said=$(mktemp)
trap 'rm -f "$said"' EXIT

# Runs a command, and says what a conflict is and how it ends.
run() {
  local rc=0
  "$@" 2> "$said" || rc=$?
  cat "$said" >&2
  if (( rc != 0 )) && grep -qi conflict "$said"; then
    fail "somebody else has changed fields that are declared here; they are named above.
Declare what they wrote, or have them let go; \`--force-conflicts\` of $1 takes the fields over."
  fi
  return "$rc"
}

with_git() {
  local root branch part tree parent commit
  root=$(git -C "$folder" rev-parse --show-toplevel) || fail "$folder is in no Git repository"
  cd "$root"
  branch="[= branch =]"
  # A commit of what a cluster reads, and nothing else that lies there; made beside the index and
  # the working tree.
  export GIT_INDEX_FILE="$said.index"
  for part in images.lock [= followed | join(" ") =]; do
    [ ! -e "$folder/$part" ] || git add -- "$folder/$part"
  done
  tree=$(git write-tree)
  rm -f "$GIT_INDEX_FILE"
  unset GIT_INDEX_FILE
  parent=
  if git fetch --quiet origin "refs/heads/$branch" 2> "$said"; then
    parent=$(git rev-parse FETCH_HEAD)
    if [ "$tree" = "$(git rev-parse "$parent^{tree}")" ]; then
      echo "$branch is so already" >&2
      echo "$parent"
      return
    fi
  elif ! grep -q "couldn't find remote ref" "$said"; then
    fail "origin cannot be read: $(cat "$said")"
  fi
  commit=$(git commit-tree "$tree" ${parent:+-p "$parent"} -m "$(message)")
  git push --quiet origin "$commit:refs/heads/$branch" >&2 ||
    fail "$branch was not pushed. If somebody else has deployed meanwhile, look what, and run this again."
  echo "$commit"
}

message() {
  echo "[= system =] to $environment"
  echo
  sed -n "/^$environment = /{s//Image: /p;q;}" "$folder/images.lock" | tr -d '"'
  echo "Source: $(git rev-parse HEAD)"
}

with_helm() {
  run helm upgrade --install [= system =] "$folder/helm/[= system =]" \
    --namespace [= namespace =] --values "$folder/helm/[= system =]/values-$environment.yaml" \
    --reset-values --wait --timeout 10m --history-max 10 ||
    fail "the release is not well. See \`helm history [= system =] -n [= namespace =]\`; ci/rollback.sh helm $environment goes back"
}

with_kubectl() {
  local manifests="$folder/kubernetes/$environment" file first=()
  kubectl get namespace [= namespace =] > /dev/null ||
    fail "whoever owns the cluster makes the namespace: kubectl apply --server-side -f $manifests/namespace.yaml"
  for file in [= before | join(" ") =]; do
    [ ! -f "$manifests/$file" ] || first+=(-f "$manifests/$file")
  done
  apply "${first[@]}"
[% if migrates %]
  migrated
[% endif %]
  all=()
  for file in "$manifests"/*.yaml; do
    [ "${file##*/}" = namespace.yaml ] || all+=(-f "$file")
  done
  apply "${all[@]}"
  for file in [= workloads | join(" ") =]; do
    kubectl rollout status --namespace [= namespace =] --timeout=10m "deployment/$file" ||
      fail "$file is not well. Its old pods serve on; deploy what was deployed before to go back"
  done
}

[% if migrates %]
# Waits until the migration's Job has ended, well or not.
migrated() {
  local job ended until=$(( SECONDS + 1800 ))
  job=$(kubectl get -f "$manifests/migrate.yaml" -o name | grep '^job')
  while :; do
    ended=$(kubectl get --namespace [= namespace =] "$job" -o jsonpath='{.status.conditions[?(@.status=="True")].type}')
    case " $ended " in
      *" Complete "*) return ;;
      *" Failed "*) break ;;
    esac
    (( SECONDS < until )) || break
    sleep 2
  done
  fail "the migration has not gone well; what runs is as before. See: kubectl logs -n [= namespace =] $job"
}

[% endif %]
apply() {
  run kubectl apply --server-side --field-manager=holdfast "$@" || fail "not everything was applied"
}

"with_$mode"
