#!/bin/sh
# valkey.sh FOLDER: a Valkey with TLS, which no wheel has: Debian's of a later release than this
# machine may have, with the libraries that it is for. FOLDER/bin has its programs.
set -eu
release=forky
packages="valkey-server valkey-tools libc6 libatomic1 libjemalloc2 liblzf1 libssl3t64 libsystemd0
 libcap2 libstdc++6 libgcc-s1 libzstd1 zlib1g"

rm -rf "$1"
mkdir -p "$1/bin" "$1/apt/lists/partial" "$1/apt/cache/archives/partial" "$1/apt/files"
cd "$1"
# shellcheck disable=SC2016  # apt's own
from=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] ${from:-http://deb.debian.org/debian} $release main" > apt/sources.list
apt() {
  apt-get --quiet=2 -o Dir::Etc::sourcelist="$PWD/sources.list" -o Dir::Etc::sourceparts=- \
    -o Dir::State::lists="$PWD/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$PWD/cache" \
    -o Debug::NoLocking=1 -o APT::Sandbox::User= "$@"
}
( cd apt
  apt update
  # shellcheck disable=SC2086  # one word each
  apt download $packages
  for package in *.deb; do dpkg -x "$package" files; done )
mv apt/files/usr/lib/*-linux-gnu* lib
mkdir programs
cp -L apt/files/usr/bin/valkey-server apt/files/usr/bin/valkey-cli programs
rm -r apt
cat > bin/valkey-server <<'PROGRAM'
#!/bin/sh
here=$(dirname "$(dirname "$(readlink -f "$0")")")
exec "$here"/lib/ld-linux-*.so.* --library-path "$here/lib" "$here/programs/${0##*/}" "$@"
PROGRAM
chmod +x bin/valkey-server
cp bin/valkey-server bin/valkey-cli
bin/valkey-server --version
