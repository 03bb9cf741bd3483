# Runs one server, and ends with its owner.
#
#   sh -c guard.sh guard DIRECTORY SERVER ARGUMENT…
#
# Its standard input is a pipe that only its owner holds. It reads one command a line and answers with
# one line. When the pipe ends, because the owner closed it or was killed, the guard kills the server
# and removes DIRECTORY. (The data are removed, so the server need not write them back.)
dir=$1
shift
pid=

# The process $1 and all below it, children last: a session of sshd must not report the end of its command.
tree() {
    echo "$1"
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
        tree "$child"
    done
}

# If the guard itself is killed, the kernel kills the server.
start() {
    setpriv --pdeathsig KILL -- "$@" </dev/null >>"$dir/log" 2>&1 &
    pid=$!
    echo "$pid"
}

stop() {
    [ -z "$pid" ] && return
    kill -KILL $(tree "$pid") 2>/dev/null
    wait "$pid" 2>/dev/null
    pid=
}

finish() {
    stop
    # A copy into the directory may still run, and makes rm fail.
    tries=0
    until rm -rf -- "$dir" 2>/dev/null || [ "$tries" -ge 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    rmdir -- "${dir%/*}" 2>/dev/null # succeeds when this was the last server of its owner
    exit 0
}
trap finish HUP INT PIPE TERM

while read -r command; do
    case $command in
    start)
        start "$@"
        ;;
    kill)
        stop
        echo killed
        ;;
    esac
done
finish
