#!/usr/bin/env bash
# A shop is cloned from one region to another, in the three ways that SSH gives. `make demo-regions` starts two servers,
# an SSH server near each and an S3 server, stops them afterwards, and names them in the environment. All that SSH
# carries goes through a line that counts bytes.
set -euo pipefail

source=${DBGRAFT_TEST_MYSQL_SOURCE:-${DBGRAFT_TEST_MARIADB_SOURCE:-}}
target=${DBGRAFT_TEST_MYSQL_TARGET:-${DBGRAFT_TEST_MARIADB_TARGET:-}}
[[ -n $source && -n $target && -n ${DBGRAFT_TEST_SSH_SOURCE:-} ]] ||
    { echo "make demo-regions starts the servers that this needs" >&2; exit 2; }
bin=$(dirname "$DBGRAFT_TESTKIT_BIN")
via=s3://$DBGRAFT_TEST_S3_BUCKET/demo

coproc lines { "$bin/testkit" proxy "$DBGRAFT_TEST_SSH_SOURCE" "$DBGRAFT_TEST_SSH_TARGET"; }
read -r near far <&"${lines[0]}"
before=(0 0 0 0)

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# A password is nothing to show, not even this one; which keys SSH uses would only be in the way.
shown() { sed -E 's#(://[^:/@]*):[^@]*@#\1@#; s#\?.*##' <<<"$1"; }
size() { numfmt --to=iec-i --suffix=B --format=%.1f "$1"; }

# Says what went over the lines since this was asked last.
carried() {
    local now
    echo >&"${lines[1]}"
    read -ra now <&"${lines[0]}"
    echo "Over SSH went $(size $((now[0] - before[0]))) to the source's region and $(size $((now[1] - before[1]))) back," \
        "$(size $((now[2] - before[2]))) to the target's region and $(size $((now[3] - before[3]))) back."
    before=("${now[@]}")
}

# Clones by the options given, into a database that the first one names, and compares it.
clone() {
    local copy=$1 option
    shift
    local told=()
    for option; do told+=("$(shown "$option")"); done
    say "$step. dbgraft clone $(shown "$source")/shop $(shown "$target")/$copy ${told[*]}"
    "$bin/dbgraft" clone "$source/shop" "$target/$copy" "$@" | sed -n 1,4p
    carried
    "$bin/testkit" compare "$source/shop" "$target/$copy"
    echo "Both databases are the same, says a tool that shares no code with dbgraft."
}

say "1. A sample database is made on $(shown "$source")"
"$bin/testkit" sample "$source" shop

say "2. What would be done. The first time dbgraft copies itself to both hosts; there is nothing else to install"
agents=(--source-agent "$near" --target-agent "$far")
"$bin/dbgraft" plan "$source/shop" "$target/by_s3" --via "$via" "${agents[@]}" --progress none
carried

step=3 clone by_s3 --via "$via" "${agents[@]}"
step=4 clone by_ssh "${agents[@]}"
step=5 clone by_tunnel --source-tunnel "$near" --target-tunnel "$far"

printf '\nThrough S3 the rows stay away from the machine that started the clone. Without it agents send them there compressed,\n'
printf 'and tunnels as they are.\n\nThe servers stop now; nothing stays running.\n'
