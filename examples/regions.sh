#!/usr/bin/env bash
# Clones a sample database between two regions, in the three ways over SSH. `make demo-regions` starts two database servers,
# an SSH server next to each and an S3 server, passes their addresses in the environment, and stops them. All SSH
# connections go through a link that counts bytes.
set -euo pipefail

source=${DBGRAFT_TEST_MYSQL_SOURCE:-${DBGRAFT_TEST_MARIADB_SOURCE:-}}
target=${DBGRAFT_TEST_MYSQL_TARGET:-${DBGRAFT_TEST_MARIADB_TARGET:-}}
[[ -n $source && -n $target && -n ${DBGRAFT_TEST_SSH_SOURCE:-} ]] ||
    { echo "run this by make demo-regions, which starts the servers" >&2; exit 2; }
bin=$(dirname "$DBGRAFT_TESTKIT_BIN")
via=s3://$DBGRAFT_TEST_S3_BUCKET/demo

coproc links { "$bin/testkit" proxy "$DBGRAFT_TEST_SSH_SOURCE" "$DBGRAFT_TEST_SSH_TARGET"; }
read -r near far <&"${links[0]}"
before=(0 0 0 0)

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# Removes the password and the SSH parameters.
shown() { sed -E 's#(://[^:/@]*):[^@]*@#\1@#; s#\?.*##' <<<"$1"; }
size() { numfmt --to=iec-i --suffix=B --format=%.1f "$1"; }

# Prints the bytes over the links since the last call.
print_traffic() {
    local now
    echo >&"${links[1]}"
    read -ra now <&"${links[0]}"
    echo "Bytes over SSH: $(size $((now[0] - before[0]))) to the source's region and $(size $((now[1] - before[1]))) back," \
        "$(size $((now[2] - before[2]))) to the target's region and $(size $((now[3] - before[3]))) back."
    before=("${now[@]}")
}

# Clones into the database $1 with the other arguments as options, and compares the clone.
clone() {
    local copy=$1 option
    shift
    local shown_options=()
    for option; do shown_options+=("$(shown "$option")"); done
    say "$step. dbgraft clone $(shown "$source")/shop $(shown "$target")/$copy ${shown_options[*]}"
    "$bin/dbgraft" clone "$source/shop" "$target/$copy" "$@" | sed -n 1,4p
    print_traffic
    "$bin/testkit" compare "$source/shop" "$target/$copy"
    echo "Both databases are equal, by a tool that shares no code with dbgraft."
}

say "1. Create a sample database on $(shown "$source")"
"$bin/testkit" sample "$source" shop

say "2. Plan the clone. The first run uploads dbgraft to both hosts; nothing else needs to be installed"
agents=(--source-agent "$near" --target-agent "$far")
"$bin/dbgraft" plan "$source/shop" "$target/by_s3" --via "$via" "${agents[@]}" --progress none
print_traffic

step=3 clone by_s3 --via "$via" "${agents[@]}"
step=4 clone by_ssh "${agents[@]}"
step=5 clone by_tunnel --source-tunnel "$near" --target-tunnel "$far"

printf '\nThrough S3 the rows do not pass the machine that started the clone. Without S3, agents send them compressed,\n'
printf 'and tunnels uncompressed.\n\nThe servers stop now.\n'
