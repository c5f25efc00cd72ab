#!/usr/bin/env bash
# Rendered by `holdfast render shop --only ci` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# Watches what is promised after a deployment, as Prometheus records it.
least=1 most=3
usage="usage: ci/slo-check.sh URL [SECONDS [INTERVAL]]
       ci/slo-check.sh --reach URL

  URL       of Prometheus, such as https://prometheus.example.com; it is sent
            \$PROMETHEUS_TOKEN as a bearer token, if there is one
  SECONDS   how long to watch; 600 without it
  INTERVAL  seconds between two looks; 30 without it, as often as is recorded
  --reach   only whether Prometheus answers

Exits with 1 as soon as a budget is spent 14.4 times too fast over 5m, by 5 errors at
least; if at the end something that is promised is not recorded at all; or if a Rollout was aborted."
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

# What is promised, and which share of it may go wrong before somebody would be woken.
objectives='[{"service": "users", "slo": "users", "sli": "availability", "most": 0.0144}, {"service": "users", "slo": "users", "sli": "latency", "most": 0.144}, {"service": "inventory", "slo": "inventory", "sli": "availability", "most": 0.0144}, {"service": "inventory", "slo": "inventory", "sli": "latency", "most": 0.144}, {"service": "orders", "slo": "orders", "sli": "availability", "most": 0.0144}, {"service": "orders", "slo": "orders", "sli": "latency", "most": 0.144}, {"service": "orders", "slo": "orders checkout", "sli": "settlement", "most": 0.144}]'

ask() {
  curl --silent --show-error --fail-with-body --max-time 10 --get --data-urlencode "query=$1" \
    --config <(echo "${PROMETHEUS_TOKEN:+header = \"Authorization: Bearer $PROMETHEUS_TOKEN\"}") \
    "${url%/}/api/v1/query"
}

if [ "$1" = "--reach" ]; then
  url=${2:-}
  [ -n "$url" ] || fail "no URL of Prometheus is set"
  ask 'vector(1)' > /dev/null || fail "Prometheus does not answer at $url"
  exit 0
fi

url=$1 seconds=${2:-600} interval=${3:-30}
for number in "$seconds" "$interval"; do
  [[ "$number" =~ ^[0-9]+$ ]] || fail "'$number' is no whole number of seconds"
done

# Each line: bad, missing, idle or good; a tab; a sentence.
look() {
  ask '{__name__=~"holdfast_slo:errors:increase5m|holdfast_slo:events:increase5m",job="shop"}' | jq -r --argjson objectives "$objectives" '
    (.data.result | map({
      key: [.metric.service, .metric.slo, .metric.sli, .metric.__name__] | join("\n"),
      value: .value[1] | tonumber
    }) | from_entries) as $seen
    | $objectives[]
    | . as {$service, $slo, $sli, $most}
    | [$service, $slo, $sli] as $which
    | $seen[($which + ["holdfast_slo:events:increase5m"]) | join("\n")] as $events
    | $seen[($which + ["holdfast_slo:errors:increase5m"]) | join("\n")] as $errors
    | "\($slo): \($sli)" as $name
    | if $events == null or $errors == null then "missing\t\($name) is not recorded"
      elif $errors >= 5 and $errors > $most * $events then
        "bad\t\($name): \($errors | round) of \($events | round) went wrong in 5m; more than \($most * 100) % would wake somebody"
      elif $events == 0 then "idle\t\($name): nobody has asked in 5m"
      else "good\t\($name): \($errors | round) of \($events | round) went wrong in 5m" end'
  ask 'rollout_info{namespace="shop",phase="Degraded"} == 1 or rollout_info{exported_namespace="shop",phase="Degraded"} == 1' | jq -r '.data.result[].metric | "bad\tthe Rollout \(.name) is degraded: the release was aborted"'
}

until=$(( SECONDS + seconds ))
while :; do
  rc=0
  found=$(look) || rc=$?
  if (( rc == 0 )) && grep -q '^bad' <<< "$found"; then
    cut -f 2 <<< "$found"
    fail "the release breaks what is promised"
  fi
  left=$(( until - SECONDS ))
  (( left > 0 )) || break
  sleep "$(( left < interval ? left : interval ))"
done
(( rc == 0 )) || fail "Prometheus does not answer at $url, so that nothing is known of the release"
cut -f 2 <<< "$found"
! grep -q '^missing' <<< "$found" ||
  fail "what is not recorded, nobody knows: look whether $url scrapes the job shop and has its rules"
