# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# Processes: identifying them, running the tools under a guard, ending them. See common.sh.

clock() { # Seconds since boot: sets $now.
    read -r now rest </proc/uptime
    now=${now%.*}
}

identify() { # PID: sets $born, which no other process of that number shares; fails when it is gone.
    born='' stat='' boot=''
    # The second field may hold spaces, parentheses and newlines.
    { while read -r part || [ -n "$part" ]; do stat="$stat $part"; done <"/proc/$1/stat"; } \
        2>/dev/null
    { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
    # shellcheck disable=SC2086 # the rest is numbers
    set -- ${stat##*") "}
    [ $# -ge 20 ] || return 1
    case $1 in Z | X) return 1 ;; esac
    shift 19
    born=$1.$boot
}

alive() { # PID BORN
    identify "$1" && [ "$born" = "$2" ]
}

child() { # COMMAND...: runs it where guard and cancel find it. Call it only below step or try.
    (
        # $$ is the main shell's number here.
        read -r pid rest </proc/self/stat
        identify "$pid" && printf '%s %s\n' "$pid" "$born" >>"$lock/children" || exit 1
        # shellcheck disable=SC2086 # a list of words
        exec $gentle "$@"
    )
}

each_child() { # COMMAND...: with the number of each living child; fails when there is none.
    found=1
    [ -f "$lock/children" ] || return 1
    while read -r child_pid child_born; do
        if alive "$child_pid" "$child_born"; then
            found=0
            "$@" "$child_pid" 2>/dev/null
        fi
    done <"$lock/children"
    return $found
}

ask() { # SIGNAL PID: to the processes below that number that have no children, or to itself.
    # A shell that a command is has to see its children end, or PID 1 becomes their parent.
    below=''
    { read -r below <"/proc/$2/task/$2/children"; } 2>/dev/null
    [ -n "$below" ] || {
        kill "-$1" "$2"
        return
    }
    for leaf in $below; do
        (ask "$1" "$leaf")
    done
}

halted() { # Sets $why when this attempt has to end.
    clock
    why=
    if [ -e "$lock/cancel.$mine" ]; then
        { read -r why <"$lock/cancel.$mine"; } 2>/dev/null
        why=${why:-cancelled}
    elif [ "$now" -ge "$deadline" ]; then
        why="deadline of $limit s exceeded"
    fi
    [ -n "$why" ]
}

guard() { # Ends the children at the deadline, on cancel or stop, or when the main shell is gone.
    nap='' patience=5
    trap '[ -z "$nap" ] || kill "$nap" 2>/dev/null; wait; exit 0' TERM
    while :; do
        sleep 1 &
        nap=$!
        wait "$nap"
        nap=
        if ! alive "$main_pid" "$main_born"; then
            # PID 1 may be their parent by now. What still lives, the next attempt asks again.
            each_child ask TERM
            exit 0
        fi
        if short_of_space; then
            write "$lock/cancel.$mine" "stopped: $(mebibytes "$free") free in $directory, \
minFree is $(mebibytes "$set_minfree")"
        fi
        halted || [ -e "$lock/stop" ] || continue
        case $patience in
            -1) each_child kill -KILL ;;
            0) each_child ask KILL ;;
            *) each_child ask TERM ;;
        esac
        [ "$patience" -lt 0 ] || patience=$((patience - 1))
    done
}

dismiss_guard() {
    [ -n "$guard_pid" ] || return 0
    kill "$guard_pid" 2>/dev/null
    wait "$guard_pid" 2>/dev/null
    guard_pid=
}

try() { # COMMAND...: sets $status and $words (its last words); its output is in $lock/out.
    if halted; then fail 1 "$why"; fi
    # Words are kept in memory: on a full disk they could not be written down.
    words=$(
        {
            printf '' >"$lock/children" && {
                "$@"
                printf ':%s' "$?" >&2
            }
        } 2>&1 >"$lock/out" | tail -c 1024 || :
    )
    status=${words##*:}
    case $status in
        '' | *[!0-9]*) status=1 ;;
        *) words=${words%:*} ;;
    esac
    [ "$status" -eq 0 ]
}

step() { # NAME COMMAND...: a step of the dump; ends the attempt when it fails.
    name=$1
    shift
    try "$@" || broken "$name"
}

broken() { # NAME: ends the attempt for what the last try said.
    if halted; then fail "$status" "$why"; fi
    if [ "$status" -gt 128 ]; then
        fail "$status" "$1 ended by signal $((status - 128)): $words"
    fi
    fail "$status" "${words:-$1 ended with exit status $status and no word}"
}

must() { # COMMAND...: a short command of our own that has to pass.
    words=$("$@" 2>&1 >/dev/null) || fail 1 "${words:-$1 failed}"
}

common_tools='mkdir rm mv ln cat head tail tr od awk sed grep sleep stat sha256sum sync date id'

lacking() { # NAMES: sets $missing, each with a space before it.
    missing=
    for tool in $1; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
}

first_of() { # NAMES: sets $tool, the first that is here; if none is, the first.
    for tool in "$@"; do
        ! command -v "$tool" >/dev/null 2>&1 || return 0
    done
    tool=$1
}

be_gentle() { # Sets $gentle: the database goes first where the container can say so.
    gentle=
    if nice -n 10 true 2>/dev/null; then gentle='nice -n 10'; fi
    if ionice -c 2 -n 7 true 2>/dev/null; then gentle="ionice -c 2 -n 7 $gentle"; fi
}
