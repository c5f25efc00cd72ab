#!/usr/bin/env bash
# Valkey 9.1.2 (Debian's valkey-server), OpenSSL 3.
#
# Expected: with `tls-auto-reload-interval 1` new TLS files are in use a second later: certificate,
#   key, and authorities (`tls-ca-cert-file`).
# Behaves: a new certificate with its key is. Authorities that change alone are not looked at: an
#   added one lets nobody in, and one that was taken out is trusted on, until the certificate
#   changes, too. Then all files are read.
#
# Exits with 0 while that is so, with 1 when it has changed.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
bin=$here/.venv/valkey/bin
[ -x "$bin/valkey-server" ] || { sh "$here/tests/delivery/kubelet/valkey.sh" "$folder/valkey" && bin=$folder/valkey/bin; }
cd "$folder"

authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=$1" \
    -keyout "$1.key" -out "$1.crt" 2>/dev/null
}
issued() { # BY NAME
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
    -keyout "$2.key" -out "$2.csr" 2>/dev/null
  openssl x509 -req -in "$2.csr" -CA "$1.crt" -CAkey "$1.key" -days 1 -out "$2.crt" 2>/dev/null
}
comes() { # NAME: whether its certificate is let in
  "$bin/valkey-cli" -p 16379 --tls --insecure --cert "$1.crt" --key "$1.key" ping 2>&1 | grep -q PONG
}

authority old
authority new
issued old server
issued old known
issued new stranger
cp old.crt trusted.crt
"$bin/valkey-server" --port 0 --tls-port 16379 --bind 127.0.0.1 --save "" --tls-cert-file server.crt \
  --tls-key-file server.key --tls-ca-cert-file trusted.crt --tls-auto-reload-interval 1 >log &
server=$!
until comes known; do sleep 0.1; done
cat old.crt new.crt >trusted.crt
sleep 5
alone=refused
comes stranger && alone=comes
issued old server
sleep 5
together=refused
comes stranger && together=comes
echo "of an authority that was added alone: $alone; once the certificate is another one: $together"
[ "$alone" = refused ] && [ "$together" = comes ]
