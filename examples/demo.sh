#!/usr/bin/env bash
# Clones a sample database through S3 from one server to another. `make demo` starts the servers, passes their addresses
# in the environment, and stops them.
set -euo pipefail

source=${DBGRAFT_TEST_MYSQL_SOURCE:-${DBGRAFT_TEST_MARIADB_SOURCE:-}}
target=${DBGRAFT_TEST_MYSQL_TARGET:-${DBGRAFT_TEST_MARIADB_TARGET:-}}
[[ -n $source && -n $target ]] || { echo "run this by make demo, which starts the servers" >&2; exit 2; }
bin=$(dirname "$DBGRAFT_TESTKIT_BIN")
report=$(mktemp)
trap 'rm -f "$report"' EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# Removes the password.
shown() { sed -E 's#(://[^:/@]*):[^@]*@#\1@#' <<<"$1"; }

say "1. Create a sample database on $(shown "$source")"
"$bin/testkit" sample "$source" shop

say "2. Plan the clone"
"$bin/dbgraft" plan "$source/shop" "$target/shop_copy" --via "s3://$DBGRAFT_TEST_S3_BUCKET/demo" --progress none

say "3. dbgraft clone $(shown "$source")/shop $(shown "$target")/shop_copy --via s3://$DBGRAFT_TEST_S3_BUCKET/demo"
"$bin/dbgraft" clone "$source/shop" "$target/shop_copy" --via "s3://$DBGRAFT_TEST_S3_BUCKET/demo" --report "$report"

say "4. Compare both databases, all objects and rows, by the test kit, which shares no code with dbgraft"
"$bin/testkit" compare "$source/shop" "$target/shop_copy"
echo "They are equal."

say "5. The report in JSON (--report FILE)"
head -c 700 "$report"
printf '\n…\n\nThe servers stop now.\n'
