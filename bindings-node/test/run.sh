#!/usr/bin/env bash
# Runs the tests in an empty project in which the package is installed: run.sh PACKAGE.tgz FOLDER [node --test's arguments].
# `testkit run` starts the servers before, and names them in the environment.
set -euo pipefail

package=$(realpath "$1") folder=$2
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
shift 2

mkdir -p "$folder"
cp "$here"/{package.json,package-lock.json} "$folder"
[[ $folder/node_modules/.package-lock.json -nt $here/package-lock.json ]] || npm ci --silent --prefix "$folder"
rm -rf "$folder"/{*.js,*.mts,*.cts,examples,node_modules/dbgraft}
cp "$here"/*.js "$here"/*.mts "$here"/*.cts "$folder"
cp -r "$here/../../examples/node" "$folder/examples"
cd "$folder"
npm install --silent --no-save --no-package-lock --prefer-offline "$package"
(( $# > 0 )) || set -- *.test.js
exec node --test "$@"
