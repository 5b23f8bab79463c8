#!/bin/sh
# One recipe for both architectures: deploy/deb/build.sh [--without-chart] amd64|arm64 [OUTPUT_FOLDER] [PYTHON]
# A private venv made from wheels (nothing is compiled, nothing of the target runs here), the units, rules and texts.
# Needs dpkg-deb, npm (for the page's chart library), and a Python that has pip, hatchling and citygate's own
# dependencies (make's .venv). Without npm or its registry: --without-chart; the page then draws its plain line.
set -eu
chart=yes
if [ "$1" = --without-chart ]; then chart=no; shift; fi
arch=$1
here=$(cd "$(dirname "$0")/../.." && pwd)
out=${2:-$here/build/deb}
python=${3:-$here/.venv/bin/python}
case $arch in
amd64) machine=x86_64 ;;
arm64) machine=aarch64 ;;
*) echo "build.sh: amd64 or arm64, not '$arch'" >&2; exit 2 ;;
esac
version=$(cd "$here" && "$python" -c 'import gateway; print(gateway.__version__)')
mkdir -p "$out"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
root=$stage/root
venv=$root/usr/lib/citygate/venv
site=$venv/lib/python3.11/site-packages
mkdir -p "$site" "$venv/bin" "$root/usr/bin" "$root/DEBIAN"

# The venv: Debian 12's Python 3.11, and packages of the target's architecture.
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w "$stage" "$here" >&2
"$python" -m pip install --quiet --disable-pip-version-check --target "$site" --no-compile --only-binary=:all: \
    --implementation cp --python-version 3.11 \
    --platform "manylinux_2_28_$machine" --platform "manylinux_2_27_$machine" --platform "manylinux_2_17_$machine" \
    --platform "manylinux2014_$machine" --platform "linux_$machine" \
    "$(echo "$stage"/citygate-*.whl)[live,city,influx]" >&2
ln -s /usr/bin/python3 "$venv/bin/python"
printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n' >"$venv/pyvenv.cfg"
static=$site/gateway/web/static
rm -f "$static"/uplot.*  # none but the one that is fetched and checked now
if [ $chart = yes ]; then
    sh "$here/deploy/fetch-chart.sh" "$static" >&2 || {
        echo "build.sh: the page's chart library cannot be packed; build with --without-chart to do without" >&2
        exit 69
    }
fi
rm -rf "$site/bin" "$site"/citygate-*.dist-info/direct_url.json
find "$site" -depth -type d \( -name tests -o -name __pycache__ \) -not -path "*/gateway/*" -exec rm -rf {} +
cat >"$root/usr/bin/citygate" <<'LAUNCHER'
#!/bin/sh
exec /usr/lib/citygate/venv/bin/python -I -m gateway "$@"
LAUNCHER
chmod 0755 "$root/usr/bin/citygate"

# Units, rules, users, folders, manual, completion, the example.
put() { mkdir -p "$root/$(dirname "$2")" && install -m 0644 "$here/$1" "$root/$2"; }
for unit in citygate citygate-live citygate-clock citygate-identity; do
    put "deploy/systemd/$unit.service" "usr/lib/systemd/system/$unit.service"
done
put deploy/udev/60-citygate-serial.rules usr/lib/udev/rules.d/60-citygate-serial.rules
put deploy/sysusers/citygate.conf usr/lib/sysusers.d/citygate.conf
put deploy/tmpfiles/citygate.conf usr/lib/tmpfiles.d/citygate.conf
put deploy/systemd/journald-citygate.conf usr/lib/systemd/journald.conf.d/60-citygate.conf
install -D -m 0755 "$here/deploy/deb/identity.sh" "$root/usr/lib/citygate/identity.sh"
for file in mosquitto/citygate.conf mosquitto/citygate.acl influxdb/v1.iql influxdb/v2.sh; do
    put "deploy/$file" "usr/share/doc/citygate/$file"
done
(cd "$here/deploy/grafana" && find dashboards provisioning -type f) | while read -r file; do
    put "deploy/grafana/$file" "usr/share/citygate/grafana/$file"
done
put docs/install.md usr/share/doc/citygate/install.md
put docs/errors.md usr/share/doc/citygate/errors.md
put config/gateway.example.toml usr/share/doc/citygate/gateway.example.toml
put LICENSE usr/share/doc/citygate/copyright
mkdir -p "$root/usr/share/man/man1" "$root/usr/share/bash-completion/completions"
(cd "$here" && "$python" deploy/deb/manual.py "$version") | gzip -9n >"$root/usr/share/man/man1/citygate.1.gz"
(cd "$here" && _CITYGATE_COMPLETE=bash_source "$python" -c 'import sys; sys.argv[0] = "citygate"
from gateway.cli.verbs import citygate; citygate(prog_name="citygate")') \
    >"$root/usr/share/bash-completion/completions/citygate"

for script in postinst prerm postrm; do install -m 0755 "$here/deploy/deb/$script" "$root/DEBIAN/$script"; done
cat >"$root/DEBIAN/control" <<CONTROL
Package: citygate
Version: $version
Architecture: $arch
Maintainer: citygate <citygate@localhost>
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Depends: python3 (>= 3.11), python3 (<< 3.12), libc6 (>= 2.31)
Recommends: systemd, udev
Section: net
Priority: optional
Description: edge gateway and sensor aggregator for smart cities
 Reads air, traffic, energy and water sensors over serial lines and Modbus, keeps
 every record on disk until each platform has confirmed it, and delivers over MQTT
 and InfluxDB. Brings its Python packages in a private environment.
CONTROL
dpkg-deb --root-owner-group -Zxz --build "$root" "$out/citygate_${version}_$arch.deb" >&2
echo "$out/citygate_${version}_$arch.deb"
