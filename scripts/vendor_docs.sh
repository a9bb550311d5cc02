#!/bin/sh
# Renews the vendored part of the docs page (web/docs): `sh scripts/vendor_docs.sh 5.35.0`. Needs npm.
set -eu
version=${1:?usage: sh scripts/vendor_docs.sh VERSION}
target=$(cd "$(dirname "$0")/../web/docs" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$work"
npm pack --silent "swagger-ui-dist@$version" >/dev/null
tar -xzf "swagger-ui-dist-$version.tgz"
cp package/swagger-ui.css package/swagger-ui-bundle.js package/swagger-ui-bundle.js.LICENSE.txt "$target/"
cp package/LICENSE "$target/swagger-ui.LICENSE.txt"
cp package/NOTICE "$target/swagger-ui.NOTICE.txt"
cd "$target"
{
    echo "swagger-ui-dist $version (Apache-2.0), unchanged; renewed by scripts/vendor_docs.sh"
    sha256sum swagger-ui.css swagger-ui-bundle.js
} >swagger-ui.VERSION.txt
