#!/bin/sh
# The real parts that the tests start by themselves: a broker, two databases, an independent Modbus slave, a browser (and npm for what looks at it).
# As root (or with passwordless sudo) they are installed; else the one line to run is printed.
set -eu
[ "${PARTS:-all}" = none ] && exit 0
PACKAGES="mosquitto influxdb victoria-metrics libmodbus-dev gcc chromium"
missing=""
for package in $PACKAGES; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
command -v npm >/dev/null || missing="$missing npm" # fetches what looks at the page, and the page's chart library
[ -z "$missing" ] && exit 0
line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then run=""; elif sudo -n true 2>/dev/null; then run="sudo -n"; else
    echo "the tests need:  sudo $line" >&2
    echo "(or leave those tests out: make test PARTS=none)" >&2
    exit 69
fi
# Debian starts a service when its package is installed; the tests start their own on free ports.
policy=/usr/sbin/policy-rc.d
made=""
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $run tee "$policy" >/dev/null && $run chmod 755 "$policy" && made=yes
fi
trap '[ -z "$made" ] || $run rm -f "$policy"' EXIT
export DEBIAN_FRONTEND=noninteractive
$run apt-get update -qq >&2
$run $line -qq >&2
