# Rendered by `holdfast render shop --only compose` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

nats-server --config /etc/nats/nats.conf &
server=$!
told=
trap 'told=yes; kill -TERM "$server"' TERM INT
loaded() {
  wget -q -O - http://127.0.0.1:8222/varz 2>/dev/null | grep '"config_load_time"'
}
looked() {
  cat /etc/holdfast/identity/tls.crt /etc/holdfast/identity/tls.key /etc/holdfast/identity/ca.crt 2>/dev/null | cksum
}
(
  before=$(looked)
  while sleep 10; do
    now=$(looked)
    [ "$now" != "$before" ] || continue
    then=$(loaded) || then=
    kill -HUP "$server"
    sleep 2
    if [ -n "$then" ] && [ "$then" = "$(loaded)" ]; then
      echo "the newest files in /etc/holdfast/identity are not in use; those before are" >&2
    else
      before=$now
    fi
  done
) &
# A signal ends the wait before the server has ended: then it goes on.
while
  code=0
  told=
  wait "$server" || code=$?
  [ -n "$told" ] && [ "$code" -gt 128 ]
do
  :
done
exit "$code"
