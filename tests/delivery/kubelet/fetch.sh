#!/bin/sh
# fetch.sh FOLDER: what the test kubelet needs and this machine may not have, as Debian's packages.
#   FOLDER/tools     their files, unpacked; the kubelet lays them over /usr and /etc, for itself alone
#   FOLDER/base.tar  the base image: Debian with its Python 3.11, without manuals and translations
# Needs root: packages are unpacked into a tree of root's.
set -eu
[ "$(id -u)" = 0 ] || { echo "the test kubelet needs root: sudo make deploy-test" >&2; exit 1; }
rm -rf "$1/tools" "$1/packages"
mkdir -p "$1/packages" && cd "$1"

packages="bubblewrap nftables libnftables1 libnftnl11 libedit2 libbsd0 libmd0 libmnl0 libjansson4
 libxtables12 iproute2 libbpf1 libelf1 libtirpc3 libtirpc-common mmdebstrap buildah
 golang-github-containers-common golang-github-containers-image libdevmapper1.02.1 libgpgme11
 libassuan0 libseccomp2 libsubid4"

( cd packages
  # shellcheck disable=SC2086  # one word each
  apt-get download --quiet $packages || { apt-get update --quiet && apt-get download --quiet $packages; }
  for package in *.deb; do dpkg -x "$package" ../tools; done )
rm -r packages

export TOOLS="$PWD/tools"
# shellcheck disable=SC2016  # the inner shell's
unshare --mount --propagation private sh -euc '
  mount -t overlay overlay -o "lowerdir=$TOOLS/usr:/usr" /usr
  mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
    --dpkgopt=path-exclude=/usr/share/doc/* --dpkgopt=path-exclude=/usr/share/man/* \
    --dpkgopt=path-exclude=/usr/share/info/* --dpkgopt=path-exclude=/usr/share/locale/* \
    --customize-hook="for name in python python3 python3.11; do ln -s /usr/bin/python3.11 \"\$1/usr/local/bin/\$name\"; done" \
    bookworm base.tar'
