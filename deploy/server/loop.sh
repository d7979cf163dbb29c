#!/bin/sh
# Keeps a program running: starts it again when it ends, whatever its status; ends when it is asked to.
#   loop.sh PROGRAM [ARGUMENT …]
#   loop.sh --help
# Made to be a container's first process (also as any user, on a read-only root), and works on a host as well.
#
# TERM, INT, HUP and QUIT: the program gets TERM and LOOP_GRACE_SECONDS to end, then KILL. Whatever is left of its process group
# when it ends, asked or not, is killed, so that nothing holds the port when it is started again. Its standard input
# is /dev/null.
#
# Settings, from the environment; seconds may have decimals:
#   LOOP_PAUSE_SECONDS (1)        pause before the first new start; doubled each time the program ends quickly …
#   LOOP_MAX_PAUSE_SECONDS (60)   … up to this
#   LOOP_HEALTHY_SECONDS (60)     a run of at least this is none of those: the pause begins anew
#   LOOP_MAX_QUICK_ENDS (0)       give up after so many quick ends in a row; 0: never
#   LOOP_GRACE_SECONDS (8)        from TERM to KILL; Docker itself kills after 10 unless told otherwise
#
# Exit status: 0 asked to stop, and the program ended in time; 137 asked to stop, and it had to be killed;
# 2 wrong usage or setting; 126, 127 the program cannot be started (it is not tried again); the program's own
# status after LOOP_MAX_QUICK_ENDS.
set -eu

# help: prints the head of this file.
help() {
    sed -n '2,/^set -eu$/s/^# \{0,1\}//p' "$0"
}

say() {
    printf 'loop: %s\n' "$*" >&2
}

# milliseconds NAME VALUE: prints VALUE seconds in milliseconds; 2 when it is no number of seconds.
milliseconds() {
    whole=${2%%.*}
    fraction=
    case $2 in *.*) fraction=${2#*.} ;; esac
    case $whole.$fraction in
    .* | 0[0-9]*.* | ???????*.* | *[!0-9]*.* | *.*[!0-9]*)
        say "$1='$2' is not a number of seconds from 0 to 999999, such as 2 or 0.5"
        return 2
        ;;
    esac
    # The 1 keeps leading zeros from being read as an octal number.
    echo $((whole * 1000 + 1$(printf '%.3s' "${fraction}000") - 1000))
}

# seconds MILLISECONDS: as `sleep` takes it.
seconds() {
    printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000))
}

# now: milliseconds on a clock that nobody sets, where there is one.
now() {
    if read -r up _ </proc/uptime 2>/dev/null; then
        echo "${up%.*}${up#*.}0"
    else
        date +%s000
    fi
}

# nap MILLISECONDS: sleeps, and wakes up at once when a signal comes.
nap() {
    [ -z "$asked" ] || return 0
    sleep "$(seconds "$1")" &
    napping=$!
    [ -z "$asked" ] || kill "$napping" 2>/dev/null || :
    wait "$napping" 2>/dev/null || :
    kill "$napping" 2>/dev/null || :
    napping=
}

# asked_to_stop SIGNAL: what the traps do.
asked_to_stop() {
    asked=$1
    [ -z "$child" ] || kill -s TERM "$child" 2>/dev/null || :
    [ -z "$napping" ] || kill "$napping" 2>/dev/null || :
}

# run: one run of the program, in a session of its own; its status is in $status.
run() {
    setsid "$@" </dev/null &
    child=$!
    # A signal may have come before $child was known.
    [ -z "$asked" ] || kill -s TERM "$child" 2>/dev/null || :
    status=0
    wait "$child" 2>/dev/null || status=$?
    [ -z "$asked" ] || await_end
    # Its group has its number: `setsid` made it the leader.
    kill -s KILL -- "-$child" 2>/dev/null || :
    child=
}

# await_end: waits for the program after TERM, kills it when the grace is over.
await_end() {
    left=$grace
    while kill -0 "$child" 2>/dev/null; do
        if [ "$left" -le 0 ]; then
            say "it did not end within $(seconds "$grace") s and is killed"
            kill -s KILL -- "-$child" 2>/dev/null || kill -s KILL "$child" 2>/dev/null || :
            wait "$child" 2>/dev/null || :
            exit 137
        fi
        sleep 0.1
        left=$((left - 100))
    done
}

# settle BEGAN: what comes after a run: a pause, or the end.
settle() {
    lasted=$(($(now) - $1))
    if [ "$lasted" -ge "$healthy" ]; then
        pause=$first_pause
        quick_ends=0
    else
        quick_ends=$((quick_ends + 1))
    fi
    if [ "$most" -gt 0 ] && [ "$quick_ends" -ge "$most" ]; then
        say "$name ended with $status; given up, as LOOP_MAX_QUICK_ENDS=$most says"
        exit "$status"
    fi
    say "$name ended with $status after $(seconds "$lasted") s; started again in $(seconds "$pause") s"
    nap "$pause"
    pause=$((pause * 2))
    [ "$pause" -le "$longest" ] || pause=$longest
}

asked='' child='' napping=''
for signal in TERM INT HUP QUIT; do
    # shellcheck disable=SC2064  # the signal's name is meant as it is now
    trap "asked_to_stop $signal" "$signal"
done

case ${1:-} in
--help | -h) help && exit 0 ;;
'' | -*)
    say "usage: loop.sh PROGRAM [ARGUMENT …]; --help says more"
    exit 2
    ;;
esac
first_pause=$(milliseconds LOOP_PAUSE_SECONDS "${LOOP_PAUSE_SECONDS:-1}")
longest=$(milliseconds LOOP_MAX_PAUSE_SECONDS "${LOOP_MAX_PAUSE_SECONDS:-60}")
healthy=$(milliseconds LOOP_HEALTHY_SECONDS "${LOOP_HEALTHY_SECONDS:-60}")
grace=$(milliseconds LOOP_GRACE_SECONDS "${LOOP_GRACE_SECONDS:-8}")
most=${LOOP_MAX_QUICK_ENDS:-0}
case $most in
*[!0-9]* | ???????*)
    say "LOOP_MAX_QUICK_ENDS='$most' is not a whole number from 0 to 999999"
    exit 2
    ;;
esac
if ! command -v setsid >/dev/null; then
    say "setsid is missing; install util-linux"
    exit 127
fi

name=$1
pause=$first_pause
[ "$pause" -le "$longest" ] || pause=$longest
quick_ends=0
while [ -z "$asked" ]; do
    began=$(now)
    run "$@"
    case $status in
    126 | 127)
        if [ -z "$asked" ]; then
            say "$name cannot be started (status $status)"
            exit "$status"
        fi
        ;;
    esac
    [ -n "$asked" ] || settle "$began"
done
say "asked to stop ($asked)"
