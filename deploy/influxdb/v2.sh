#!/bin/sh
# InfluxDB 2.x: a bucket, a token for each gateway that writes this bucket alone, and one for dashboards that reads it.
#   INFLUX_TOKEN=... v2.sh http://127.0.0.1:8086 ORGANISATION BUCKET DAYS GATEWAY...
# INFLUX_TOKEN is an operator's token; each new token goes to a file of its own (0600) in the current folder:
# GATEWAY.token is the `token_file` of the gateway's sink. What is there already is left as it is.
set -eu
url=${1%/} org=$2 bucket=$3 days=$4
shift 4
[ -n "${INFLUX_TOKEN:-}" ] || { echo "v2.sh: INFLUX_TOKEN is not set" >&2; exit 64; }
umask 077
secret=$(mktemp)
trap 'rm -f "$secret"' EXIT
printf 'header = "Authorization: Token %s"\nheader = "Content-Type: application/json"\n' "$INFLUX_TOKEN" >"$secret"
call() { curl --fail --silent --show-error --config "$secret" "$@"; } # the token is in no argument list
first() { grep -o "\"$1\" *: *\"[^\"]*\"" | head -n 1 | sed 's/.*: *"//; s/"$//'; }

org_id=$(call "$url/api/v2/orgs?org=$org" | first id)
[ -n "$org_id" ] || { echo "v2.sh: there is no organisation $org" >&2; exit 69; }
bucket_id=$(call "$url/api/v2/buckets?orgID=$org_id&name=$bucket" | first id || true)
if [ -z "$bucket_id" ]; then
    rules="[{\"type\":\"expire\",\"everySeconds\":$((days * 86400))}]"
    bucket_id=$(call --data "{\"orgID\":\"$org_id\",\"name\":\"$bucket\",\"retentionRules\":$rules}" \
        "$url/api/v2/buckets" | first id)
fi
token() {
    [ -s "$1.token" ] && { echo "$1.token is there already" >&2; return; }
    scope="{\"action\":\"$2\",\"resource\":{\"type\":\"buckets\",\"id\":\"$bucket_id\",\"orgID\":\"$org_id\"}}"
    call --data "{\"orgID\":\"$org_id\",\"description\":\"citygate $1: $2 $bucket\",\"permissions\":[$scope]}" \
        "$url/api/v2/authorizations" | first token >"$1.token"
    echo "$1.token"
}
token dashboards read
for gateway in "$@"; do token "$gateway" write; done
