#!/usr/bin/env bash
# Rendered by `holdfast render shop --only compose` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# Runs the server as its image does, with the identity that it shows, and tells it when that is
# another one. It takes no key that others own or may read, so it has a copy of its own.
set -euo pipefail
identity=/etc/holdfast/identity own=/run/postgresql/tls

looked() {
  { cat "$identity"/tls.crt "$identity"/tls.key "$identity"/ca.crt 2>/dev/null || true; } | cksum
}

take() {
  for name in tls.key tls.crt ca.crt; do
    install -m 0600 "$identity/$name" "$own/.$name" && mv "$own/.$name" "$own/$name" || return 1
  done
}

install -d -m 0700 "$own"
before=$(looked)
take
(
  while sleep 10; do
    now=$(looked)
    # What fits together is used, and what does not yet is another one the next time.
    if [ "$now" != "$before" ] && take && pg_ctl reload --silent; then
      before=$now
    fi
  done
) &
exec docker-entrypoint.sh postgres -c hba_file=/etc/postgres/pg_hba.conf \
  -c ident_file=/etc/postgres/pg_ident.conf -c ssl=on -c ssl_min_protocol_version=TLSv1.3 -c ssl_cert_file=/run/postgresql/tls/tls.crt -c ssl_key_file=/run/postgresql/tls/tls.key -c ssl_ca_file=/run/postgresql/tls/ca.crt
