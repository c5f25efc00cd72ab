#!/usr/bin/env bash
# Rendered by `holdfast render shop --only compose` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# Makes what has to be secret, where it is not there yet: random passwords, a file each. The folder
# is its owner's alone. Within it files may be read by everybody, since a container gets its own
# ones as they are, and its user is another one.
set -euo pipefail
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
chmod 0700 secrets

made() {
  [ ! -e "secrets/$1" ] || return 0
  printf '%s\n' "$2" >"secrets/.$1"
  chmod 0444 "secrets/.$1"
  mv "secrets/.$1" "secrets/$1"
  echo "deploy/compose/secrets/$1 is made"
}

random() {
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

made grafana_password "$(random)"
made postgres_password "$(random)"
