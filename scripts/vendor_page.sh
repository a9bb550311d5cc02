#!/bin/sh
# Renews the chat page's libraries (web/vendor): `sh scripts/vendor_page.sh 18.2.1 3.4.18 5.30.0`. Needs npm.
set -eu
usage="usage: sh scripts/vendor_page.sh MARKED_VERSION DOMPURIFY_VERSION MSAL_VERSION"
marked=${1:?$usage}
dompurify=${2:?$usage}
msal=${3:?$usage}
mkdir -p "$(dirname "$0")/../web/vendor"
target=$(cd "$(dirname "$0")/../web/vendor" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# unpack FOLDER PACKAGE VERSION: puts the package's files into $work/FOLDER
unpack() {
    mkdir "$work/$1"
    cd "$work/$1"
    npm pack --silent "$2@$3" >/dev/null
    tar -xzf ./*.tgz --strip-components=1
}

unpack marked marked "$marked"
unpack dompurify dompurify "$dompurify"
unpack msal @azure/msal-browser "$msal"
# The last line of each build names a source map that is not here.
sed '/^\/\/# sourceMappingURL=/d' "$work/marked/lib/marked.esm.js" >"$target/marked.esm.js"
sed '/^\/\/# sourceMappingURL=/d' "$work/dompurify/dist/purify.es.mjs" >"$target/purify.es.mjs"
sed '/^\/\/# sourceMappingURL=/d' "$work/msal/lib/msal-browser.min.js" >"$target/msal-browser.min.js"
cp "$work/msal/LICENSE" "$target/msal-browser.LICENSE.txt"
cp "$work/marked/LICENSE" "$target/marked.LICENSE.txt" 2>/dev/null || cp "$work/marked/LICENSE.md" "$target/marked.LICENSE.txt"
cp "$work/dompurify/LICENSE" "$target/dompurify.LICENSE.txt"
cd "$target"
{
    echo "marked $marked (MIT), dompurify $dompurify (MPL-2.0 OR Apache-2.0) and @azure/msal-browser $msal (MIT),"
    echo "without the line that names a source map;"
    echo "renewed by scripts/vendor_page.sh"
    sha256sum marked.esm.js msal-browser.min.js purify.es.mjs
} >VERSIONS.txt
