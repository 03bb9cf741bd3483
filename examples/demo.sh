#!/usr/bin/env bash
# A shop is cloned through S3 from one server to another. `make demo` starts the servers and stops them afterwards,
# and names them in the environment.
set -euo pipefail

source=${DBGRAFT_TEST_MYSQL_SOURCE:-${DBGRAFT_TEST_MARIADB_SOURCE:-}}
target=${DBGRAFT_TEST_MYSQL_TARGET:-${DBGRAFT_TEST_MARIADB_TARGET:-}}
[[ -n $source && -n $target ]] || { echo "make demo starts the servers that this needs" >&2; exit 2; }
bin=$(dirname "$DBGRAFT_TESTKIT_BIN")
report=$(mktemp)
trap 'rm -f "$report"' EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# A password is nothing to show, not even this one.
shown() { sed -E 's#(://[^:/@]*):[^@]*@#\1@#' <<<"$1"; }

say "1. A sample database is made on $(shown "$source")"
"$bin/testkit" sample "$source" shop

say "2. What would be done"
"$bin/dbgraft" plan "$source/shop" "$target/shop_copy" --via "s3://$DBGRAFT_TEST_S3_BUCKET/demo" --progress none

say "3. dbgraft clone $(shown "$source")/shop $(shown "$target")/shop_copy --via s3://$DBGRAFT_TEST_S3_BUCKET/demo"
"$bin/dbgraft" clone "$source/shop" "$target/shop_copy" --via "s3://$DBGRAFT_TEST_S3_BUCKET/demo" --report "$report"

say "4. Both databases are compared, object by object and row by row, by a tool that shares no code with dbgraft"
"$bin/testkit" compare "$source/shop" "$target/shop_copy"
echo "They are the same."

say "5. The report, as a program would read it (--report FILE)"
head -c 700 "$report"
printf '\n…\n\nThe servers stop now; nothing stays running.\n'
