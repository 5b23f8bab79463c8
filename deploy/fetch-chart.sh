#!/bin/sh
# Fetches uPlot (MIT) from the npm registry and packs it into the page: run when a wheel or deb is built.
# The package's own hash is pinned; without it the page works and says that the chart library is absent.
set -eu
VERSION=1.6.32
SHA512=KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==
target=${1:-$(dirname "$0")/../gateway/web/static}
command -v npm >/dev/null || { echo "npm is needed to fetch uPlot; on Debian: apt-get install npm" >&2; exit 69; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "uplot@$VERSION" >/dev/null)
found=$(openssl dgst -sha512 -binary "$work/uplot-$VERSION.tgz" | openssl base64 -A)
[ "$found" = "$SHA512" ] || { echo "uplot-$VERSION.tgz is not the package that was reviewed" >&2; exit 65; }
tar -xzf "$work/uplot-$VERSION.tgz" -C "$work"
{ cat "$work/package/dist/uPlot.iife.min.js"; echo; echo "export default uPlot;"; } >"$target/uplot.js"
cp "$work/package/dist/uPlot.min.css" "$target/uplot.css"
cp "$work/package/LICENSE" "$target/uplot.LICENSE"
echo "uPlot $VERSION is packed into $target"
