#!/bin/sh
# An identity of its own for every machine: at installation, and at the first start of a copied image.
# The id is made from the machine's own (/etc/machine-id): unique, and the same after a reinstall. An id that a person
# chose is never touched. ROOT is for tests and for building images.
set -eu
root=${1:-}
config=$root/etc/citygate/gateway.toml
machine=$(cat "$root/etc/machine-id" 2>/dev/null || true)
# An image that is being built has none yet: anything will do until its first start, and is left alone until then.
case $machine in
"" | uninitialized)
    [ ! -e "$config" ] || exit 0
    machine=$(od -An -N16 -tx1 /dev/urandom)
    ;;
esac
ident=gw-$(printf %s "$machine" | sha256sum | cut -c1-8)
umask 027
mkdir -p "$(dirname "$config")"
if [ ! -e "$config" ]; then
    printf 'schema = 1\n\n[gateway]\nid = "%s"\ncity = "bangkok"\n' "$ident" >"$config.new"
elif grep -Eq '^id = "gw-[0-9a-f]{8}"$' "$config" && ! grep -q "^id = \"$ident\"\$" "$config"; then
    # systemd mounts an id of its own making over the file where it could not keep one: it is another one at each start
    # and says nothing about copies.
    if awk -v file="$root/etc/machine-id" '$5 == file { found = 1 } END { exit !found }' /proc/self/mountinfo; then
        echo "citygate: /etc/machine-id is new at each start; the id of the gateway stays (write one of your own)"
        exit 0
    fi
    # Another machine's id, made by this script: this disk is a copy. Its records stay under the name that made them.
    sed -E "s/^id = \"gw-[0-9a-f]{8}\"\$/id = \"$ident\"/" "$config" >"$config.new"
    state=$(sed -nE "s/^[[:space:]]*state_dir[[:space:]]*=[[:space:]]*[\"']([^\"']+)[\"'].*/\1/p" "$config" | head -n 1)
    journal=$root${state:-/var/lib/citygate}/journal
    if [ -d "$journal" ]; then
        mv -T "$journal" "$(mktemp -d "$journal.of-another-machine.$(date +%s).XXXXXX")"
    fi
    echo "citygate: this is a copy of another gateway's disk; it is $ident from now on"
else
    exit 0
fi
sync "$config.new"
mv "$config.new" "$config"
chgrp citygate "$config" 2>/dev/null || true
