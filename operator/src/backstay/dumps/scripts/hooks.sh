# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# Hooks: a command before the snapshots, what it holds while they are taken, and its undoing.
#
# Fed to `/bin/sh -s -- VERB ARGS...` behind process.sh and record.sh, like the dump scripts. One
# hook of one attempt of one run is a folder of its own in memory (never on a volume: that may be
# frozen). Verbs (RUN, ATTEMPT as in common.sh; NAME: letters, digits, hyphens; SECONDS: limits)
#   run RUN ATTEMPT NAME SECONDS COMMAND...
#   hold RUN ATTEMPT NAME SECONDS FREEZE UNDO_SECONDS COUNT COMMAND(COUNT words)... UNDO...
#   session RUN ATTEMPT NAME SECONDS FREEZE UNDO_SECONDS READY BEGIN END COMMAND...
#   release RUN ATTEMPT NAME UNDO_SECONDS [UNDO...]   release it; undo it here if nobody else is left to
#   result RUN ATTEMPT NAME                           read only, at once
# States printed: none running held done failed broken (it held, but ended before its release:
#   FREEZE was over, or it died) interrupted (started, and nobody is left: release undoes it).
#
# Invariants, whatever is killed wherever:
# - What a hook did before the snapshots is undone at least once: by the keeper, which holds it, when it
#   is released, when FREEZE is over, or when the command failed; by the main shell should the
#   keeper be killed; by `release` should both be. `result` has its last word only after that.
# - A started hook is started once: `owner` is made by ln(1) from a complete file.
# - PID 1 rule (common.sh): each command has a shell of ours for a parent that waits for it and
#   ends with 0, also when the shells above it were killed.

umask 077
LC_ALL=C
export LC_ALL

answer() { printf '%s\n' "$1" 2>/dev/null || :; }

refuse() { # TEXT: nothing was started, nothing is recorded.
    answer "{\"state\":\"failed\",\"exit\":2,\"message\":$(json_string "$1")}"
    exit 0
}

nap() { sleep 0.2 2>/dev/null || sleep 1; }

myself() { # Sets $my_pid and $my_born of the shell that calls it.
    read -r my_pid rest </proc/self/stat
    identify "$my_pid" && my_born=$born
}

lives() { # FILE: does who signed it live?
    signed_pid=0 signed_born=''
    { read -r signed_pid signed_born <"$1"; } 2>/dev/null && alive "$signed_pid" "$signed_born"
}

sign() { # FILE: puts this shell's name on it; fails when another has.
    myself
    write "$1.$my_pid" "$my_pid $my_born" && ln "$1.$my_pid" "$1" 2>/dev/null
    signed=$?
    rm -f "$1.$my_pid"
    return "$signed"
}

attended() { # FOLDER: does anybody look after it?
    for role in owner keeper undoer; do
        ! lives "$1/$role" || return 0
    done
    return 1
}

judge() { # Sets $state, and $line where it has its last word.
    # Who looks after it first: if nobody does now, nobody writes a result after this.
    if attended "$dir"; then living=yes; else living=no; fi
    line='' state=none
    if { read -r line <"$dir/result"; } 2>/dev/null; then
        state=over
    elif [ "$living" = yes ]; then
        state=running
        [ ! -e "$dir/held" ] || state=held
    elif [ -e "$dir/owner" ]; then
        state=interrupted
    fi
}

report() {
    judge
    if [ "$state" = over ]; then answer "$line"; else answer "{\"state\":\"$state\"}"; fi
}

conclude() { # STATE EXIT TEXT: the last word, if it has none yet.
    [ ! -e "$dir/result" ] || return 0
    clock
    text=$(printf '%s' "$3" | tail -c 1024 | tr -s '[:cntrl:]' ' ')
    facts="\"state\":\"$1\",\"exit\":$2,\"seconds\":$((now - began))"
    write "$dir/result.new" "{$facts,\"message\":$(json_string "${text% }")}"
    mv -f "$dir/result.new" "$dir/result"
}

# ---- one command -------------------------------------------------------------------------------

launch() { # COMMAND...: starts it, reading $input; $dir/exit and $dir/words record its end.
    rm -f "$dir/exit" "$dir/words" "$dir/child"
    {
        {
            (
                myself
                write "$dir/child" "$my_pid $my_born"
                exec "$@"
            )
            write "$dir/exit.new" "$?"
            mv -f "$dir/exit.new" "$dir/exit"
        } 2>&1 | {
            if [ "$verb" = session ]; then heed; else tail -c 1024; fi >"$dir/words.new"
            mv -f "$dir/words.new" "$dir/words"
        }
        exit 0
    } <"$input" 3>&- &
    runner=$!
}

heed() { # Waits for the line READY in what a session says; prints its last words.
    said=
    while IFS= read -r heard || [ -n "$heard" ]; do
        if [ "$heard" = "$ready" ]; then
            write "$dir/ready" "$heard"
        else
            said="$said $heard"
            [ ${#said} -le 2048 ] || said=$heard
        fi
    done
    printf '%s' "$said"
}

ended() { [ -e "$dir/exit" ]; }

stop_child() { # Asks the command to end, then makes it.
    lives "$dir/child" || return 0
    kill -TERM "$signed_pid" 2>/dev/null
    patience=10
    while [ "$patience" -gt 0 ] && ! ended; do
        nap
        patience=$((patience - 1))
    done
    ended || ! lives "$dir/child" || kill -KILL "$signed_pid" 2>/dev/null
}

await_end() { # SECONDS: sets $status and $words from what was launched, ending it when it is late.
    clock
    until=$((now + $1)) late=
    while ! ended; do
        clock
        if [ "$now" -ge "$until" ]; then
            [ -z "$late" ] || break # not even KILL: it hangs in the kernel
            late=' '
            [ "$1" -eq 0 ] || late=" (ended after $1 s)"
            stop_child
            until=$((now + 5))
        fi
        nap
    done
    status=124 words=
    { read -r status <"$dir/exit"; } 2>/dev/null || :
    # What it left running may hold its output open: a moment for the words, no more.
    patience=5
    while [ ! -e "$dir/words" ] && [ "$patience" -gt 0 ]; do
        nap
        patience=$((patience - 1))
    done
    if [ -e "$dir/words" ]; then
        words=$(cat "$dir/words")
        wait "$runner" 2>/dev/null
    fi
    if [ -n "$late" ] && [ "$status" -eq 0 ]; then status=124; fi
    words=$words$late
    [ "$status" -eq 0 ] || [ -n "$words" ] || words="it ended with exit status $status and no word"
}

# ---- what a hook is ----------------------------------------------------------------------------

undo() { # [UNDO...]: sets $status and $words; with no words there is nothing to undo.
    status=0 words=
    [ $# -gt 0 ] || return 0
    # One at a time: whoever died at it left it to be done again. Where nobody can sign (the memory
    # is full, its folder swept away) it is done all the same: twice is better than never.
    tries=5
    while [ "$tries" -gt 0 ] && ! sign "$dir/undoer"; do
        if lives "$dir/undoer"; then
            [ ! -e "$dir/result" ] || return 0
            nap
        else
            tries=$((tries - 1))
            rm -f "$dir/undoer"
            mkdir -p "$dir"
        fi
    done
    [ ! -e "$dir/result" ] || return 0
    launch "$@"
    await_end "$undo_limit"
}

wait_for_release() { # Sets $how: released, expired or ended (a session, by itself).
    how=
    while [ -z "$how" ]; do
        clock
        if [ -e "$dir/release" ]; then
            how=released
        elif [ "$now" -ge "$((began + freeze))" ]; then
            how=expired
        elif [ "$verb" = session ] && ended; then
            how=ended
        else
            nap
        fi
    done
}

settled() { # WHAT: the final result once it is undone, from $how, $status and $words.
    why=
    [ "$status" -eq 0 ] || why="$1: $words"
    if [ "$how" = expired ]; then
        early="it was undone from inside when maxFreeze ($freeze s) was over"
        conclude broken "$status" "$early${why:+, and $why}"
    elif [ "$status" -ne 0 ]; then
        conclude failed "$status" "$why"
    else
        conclude 'done' 0 ''
    fi
}

keep_run() { # COMMAND...
    launch "$@"
    await_end "$limit"
    if [ "$status" -eq 0 ]; then conclude 'done' 0 ''; else conclude failed "$status" "$words"; fi
}

keep_hold() { # COMMAND($count words)... UNDO...
    list='' turn=0
    while [ "$turn" -lt "$count" ]; do
        turn=$((turn + 1))
        list="$list \"\${$turn}\""
    done
    eval "launch $list" # the positions only: the words themselves are never read as code
    shift "$count"
    await_end "$limit"
    if [ "$status" -ne 0 ]; then
        failed=$status why=$words
        undo "$@" # it may have frozen something before it failed
        [ "$status" -eq 0 ] || why="$why; and what undoes it failed: $words"
        conclude failed "$failed" "$why"
        return
    fi
    write "$dir/held" held
    wait_for_release
    undo "$@"
    settled 'what undoes it failed'
}

keep_session() { # COMMAND...
    mkfifo "$dir/in" || return
    # Both ends: neither we nor the command wait for the other to open it.
    exec 3<>"$dir/in"
    input=$dir/in
    launch "$@"
    printf '%s\n' "$begin" >&3
    clock
    until=$((now + limit))
    while [ ! -e "$dir/ready" ] && ! ended && [ "$now" -lt "$until" ]; do
        nap
        clock
    done
    if [ ! -e "$dir/ready" ]; then
        how=
        ended || how="it did not print the line $ready within $limit s: "
        end_session 0
        conclude failed "$status" "$how${words:-it ended with status $status before it was ready}"
        return
    fi
    write "$dir/held" held
    wait_for_release
    if [ "$how" = ended ]; then
        end_session 0
        conclude broken "$status" "it ended before the snapshot: $words"
        return
    fi
    printf '%s\n' "$end" >&3
    end_session "$undo_limit"
    settled 'it did not end well'
}

end_session() { # SECONDS: closes its input and waits for its end.
    exec 3>&-
    await_end "$1"
}

rescue() { # [UNDO...]: the keeper was killed.
    stop_child
    undo "$@"
    why='its keeper was killed'
    [ "$status" -eq 0 ] || why="$why, and what undoes it failed: $words"
    if [ -e "$dir/held" ]; then conclude broken 137 "$why"; else conclude failed 137 "$why"; fi
}

start() { # KEEPER ARGUMENTS...
    mkdir "$dir" 2>/dev/null || [ -d "$dir" ] || refuse "cannot make the folder $dir"
    # A start that comes after the release, such as out of an old stream, is none any more.
    if ! sign "$dir/owner" || [ -e "$dir/release" ]; then
        report
        exit 0
    fi
    clock
    began=$now
    write "$dir/began" "$began"
    for old in "$base/$name@"*; do
        [ "$old" = "$dir" ] || attended "$old" || rm -rf "$old"
    done
    {
        sign "$dir/keeper"
        "$@"
        exit 0
    } >/dev/null 2>&1 &
    wait "$!"
    shift
    case $verb in
        hold) shift "$count" ;;
        *) set -- ;;
    esac
    [ -e "$dir/result" ] || rescue "$@" >/dev/null 2>&1
    report
}

release() { # [UNDO...]
    mkdir "$dir" 2>/dev/null || [ -d "$dir" ] || refuse "cannot make the folder $dir"
    write "$dir/release" released
    judge
    case $state in
        none | interrupted)
            clock
            { read -r began <"$dir/began"; } 2>/dev/null || began=$now
            stop_child
            undo "$@" >/dev/null 2>&1
            why='what held it was killed or restarted'
            [ "$status" -eq 0 ] || why="$why, and what undoes it failed: $words"
            conclude broken "$status" "$why"
            ;;
    esac
    report
}

# ---- the command line --------------------------------------------------------------------------

set_folder() { # RUN ATTEMPT NAME
    case $1$3 in */* | '') refuse 'RUN and NAME must not hold a slash' ;; esac
    name=$3
    for base in /dev/shm /tmp; do
        base=$base/backstay-hooks-$(id -u)
        mkdir -m 700 "$base" 2>/dev/null || :
        # shellcheck disable=SC3067 # dash, bash and busybox know -O
        if [ -d "$base" ] && [ ! -L "$base" ] && [ -O "$base" ] && [ -w "$base" ]; then
            dir=$base/$name@$1.$2
            return
        fi
    done
    refuse 'neither /dev/shm nor /tmp can be written'
}

main() {
    trap '' PIPE HUP
    exec </dev/null
    verb=$1 input=/dev/null runner='' began=0 freeze=0 how=''
    [ -r /proc/self/stat ] || refuse 'cannot read /proc/self/stat: is /proc mounted?'
    set_folder "$2" "$3" "$4"
    shift 4
    case $verb in
        result) report ;;
        run)
            limit=$1
            shift
            start keep_run "$@"
            ;;
        hold)
            limit=$1 freeze=$2 undo_limit=$3 count=$4
            shift 4
            start keep_hold "$@"
            ;;
        session)
            limit=$1 freeze=$2 undo_limit=$3 ready=$4 begin=$5 end=$6
            shift 6
            start keep_session "$@"
            ;;
        release)
            undo_limit=$1
            shift
            release "$@"
            ;;
        *) refuse 'usage: run|hold|session|release|result RUN ATTEMPT NAME ...' ;;
    esac
    exit 0
}
