#!/usr/bin/env bash
# Makes the npm package of what was built: pack.sh MODULE EXECUTABLE FOLDER puts dbgraft-VERSION.tgz there.
#
# `native/` beside this file may hold what was built on other platforms, `native/PLATFORM/{dbgraft.node,dbgraft}`: it goes in too.
set -euo pipefail

mkdir -p "$3"
module=$1 executable=$2 folder=$(realpath "$3")
here=$(dirname "${BASH_SOURCE[0]}")
libc=gnu
ldd --version 2>&1 | grep -qi musl && libc=musl
platform=$(node -p '`${process.platform}-${process.arch}`')-$libc
package=$folder/package

rm -rf "$package" "$folder"/dbgraft-*.tgz
mkdir -p "$package"
cp -r "$here"/{package.json,README.md,lib,bin} "$here"/../LICENSE-* "$package"
[[ ! -d $here/native ]] || cp -r "$here/native" "$package"
install -D -m 644 "$module" "$package/native/$platform/dbgraft.node"
install -D -m 755 "$executable" "$package/native/$platform/dbgraft"
# The debug information of a test build is many times the rest.
strip --strip-debug "$package/native/$platform"/*
npm pack --silent --pack-destination "$folder" "$package"
rm -r "$package"
