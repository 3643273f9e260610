# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# What the dump scripts of all engines share: lock, supervision, records, dispatch.
#
# Fed to `/bin/sh -s -- VERB ARGS...` on standard input, followed by one engine's functions and the
# line `main "$@"; exit`. Only functions and constants stand at top level, so a script whose end
# never arrives does nothing. Nothing reads standard input, and nobody needs to listen: the outcome
# is in files, one JSON line on standard output only repeats it.
#
# Verbs (RUN: letters, digits, . _ -; ATTEMPT: a number from 1; FILE: an absolute path)
#   start RUN ATTEMPT FILE NAME=VALUE... [-- ARGS...]   dump, then print what `result` prints
#   result RUN ATTEMPT FILE [MOUNT PATHS...]            read only, at once
#   cancel RUN ATTEMPT FILE                             end that attempt if it runs
#   probe                                               which tools are here
# NAME=VALUE: seconds (the deadline), minfree (bytes), compress (yes, no), and what the engine takes;
# ARGS are its too.
# States printed: done running failed interrupted (died without a result) none (not known here)
#   busy (another run is at it: try later) superseded (a higher attempt, or a run after this one).
#
# Files (all beside FILE, mode 0600, none may be a symbolic link)
#   FILE             the last dump that passed every check; replaced by rename only
#   FILE.json        what FILE is; FILE.json.next while the two renames of a publication happen
#   FILE.partial     a dump being written; FILE.failed the last failure
#   FILE.lock/       N: who made generation N, `RUN ATTEMPT PID BORN`; children, out, stop, sum.N,
#                    cancel.N
#
# Invariants, whatever is killed wherever:
# - FILE is whole. It is what FILE.json.next says when that exists and FILE.partial does not, else
#   what FILE.json says: .next is written first, then FILE.partial becomes FILE, then .next becomes
#   FILE.json, and .next is always removed before .partial. `effective` is that rule.
# - The lock is held by whoever made the highest generation, for as long as that process lives: it
#   needs no release. Generation N+1 is made by ln(1) from a complete file, so one taker wins; the
#   highest generation never goes away, lower ones only after it was made. A taker that finds a
#   higher one after its own (it had read an old list) has lost. A number is distinguished from a reused
#   one by its start time and the boot. Processes of another container look dead: their
#   container id shows the operator that their attempt is over.
# - No child of ours is left to PID 1 with a bad end. Where PID 1 is `postgres`, an adopted child
#   that ends by a signal or with a status over 1 makes it restart every backend. So the main shell
#   waits for all it starts and exits 0 always; should it be killed itself, the shells below it
#   still wait for the tool and exit 0, and the guard asks the tool to end (TERM, never KILL).

umask 077
LC_ALL=C # bytes are bytes, and tools speak English
export LC_ALL

say() { printf '%s\n' "$1" 2>/dev/null || :; }

# ---- the lock ----------------------------------------------------------------------------------

newest() { # Sets $generation, 0 when there is none.
    generation=0
    for entry in "$lock"/*; do
        case ${entry##*/} in
            *[!0-9]*) ;;
            *) [ "${entry##*/}" -le "$generation" ] || generation=${entry##*/} ;;
        esac
    done
}

owner() { # Reads the newest generation: sets $owner_run, $owner_attempt and $owner_alive.
    owner_run='' owner_attempt=0 owner_pid=0 owner_born='' owner_alive=no
    while newest && [ "$generation" -gt 0 ]; do
        if { read -r owner_run owner_attempt owner_pid owner_born <"$lock/$generation"; } \
            2>/dev/null; then
            if alive "$owner_pid" "$owner_born"; then owner_alive=yes; fi
            return
        fi
        # Gone: there is a newer one. Still there: a power loss emptied it, and nobody holds it.
        [ ! -e "$lock/$generation" ] || return 0
    done
}

judge() { # Sets $state of this attempt, and $other, the run in its way.
    # The owner first: if it is gone now, no record changes after this.
    owner
    effective
    failed_run='' failed_attempt=0 failed_line=''
    if parse "$file.failed"; then
        failed_run=$r_run failed_attempt=$r_attempt failed_line=$line
    fi
    state=none other=$run
    if [ "$failed_run" = "$run" ] && [ "$failed_attempt" -eq "$attempt" ]; then
        state=failed
    elif [ "$done_run" = "$run" ] && [ "$done_attempt" -eq "$attempt" ]; then
        state='done'
    elif higher "$owner_run" "$owner_attempt" || higher "$done_run" "$done_attempt" ||
        higher "$failed_run" "$failed_attempt"; then
        state=superseded
    elif [ "$owner_alive" = yes ]; then
        state=busy other=$owner_run
        if [ "$owner_run" = "$run" ] && [ "$owner_attempt" -eq "$attempt" ]; then state=running; fi
    elif replaced; then
        state=superseded other=$done_run
    elif [ "$owner_run" = "$run" ] && [ "$owner_attempt" -eq "$attempt" ]; then
        state=interrupted
    fi
}

higher() { # RUN ATTEMPT: is this a later attempt of our run?
    [ "$1" = "$run" ] && [ "$2" -gt "$attempt" ]
}

replaced() { # Did another run's dump, which is FILE now, take the place of this attempt's?
    line=$done_line
    [ -n "$line" ] && [ "$done_run" != "$run" ] || return 1
    field replacedRun
    [ "$value" = "$run" ] || return 1
    field replacedAttempt
    [ "$value" -ge "$attempt" ]
}

report() { # MOUNT PATHS...: prints what judge found; of a dump, where it lies now.
    case $state in
        done) say "{\"state\":\"done\",$(whereabouts "$@"),${done_line#?}" ;;
        failed) say "{\"state\":\"failed\",${failed_line#?}" ;;
        running)
            size "$file.partial"
            say "{\"state\":\"running\",\"bytes\":$bytes}"
            ;;
        busy | superseded) say "{\"state\":\"$state\",\"run\":\"$other\"}" ;;
        *) say "{\"state\":\"$state\"}" ;;
    esac
}

take() { # Takes the lock and returns, or prints why this attempt is not to run and ends.
    new=$lock/new.$main_pid.$main_born
    while :; do
        judge
        case $state in
            none | interrupted) ;;
            *)
                report
                exit 0
                ;;
        esac
        mine=$((generation + 1))
        words=$({ write "$new" "$run $attempt $main_pid $main_born" && ln "$new" "$lock/$mine"; } 2>&1)
        taken=$?
        rm -f "$new"
        newest
        if [ "$taken" -eq 0 ] && [ "$generation" -eq "$mine" ]; then break; fi
        if [ "$taken" -eq 0 ]; then rm -f "$lock/$mine"; fi
        [ "$generation" -ge "$mine" ] || refuse "cannot take the lock $lock: $words"
    done
    for entry in "$lock"/*; do
        case ${entry##*/} in
            "$mine" | "cancel.$mine" | children) ;;
            *) rm -f "$entry" ;;
        esac
    done
}

# ---- one dump ----------------------------------------------------------------------------------

settle() { # Cleans up after the dead: their processes, their publication, their partial file.
    while each_child ask TERM; do
        if halted; then fail 1 "$why: process $child_pid of a dead attempt does not end"; fi
        sleep 1
    done
    if [ -e "$file.json.next" ] && [ ! -e "$file.partial" ] && parse "$file.json.next"; then
        # A size may be equal by chance.
        field sha256
        wanted=$value
        [ ! -f "$file" ] || digest "$file"
        if [ "$wanted" = "$sha256" ]; then must mv -f "$file.json.next" "$file.json"; fi
    fi
    must rm -f "$file.json.next"
    must rm -f "$file.partial"
}

digest() { # PATH: sets $sha256. openssl is several times faster than most builds of sha256sum.
    try child openssl dgst -sha256 -r "$1" || step sha256sum child sha256sum "$1"
    read -r sha256 rest <"$lock/out"
    sha256=${sha256#\\} # it marks names that it had to quote
}

begin_digest() { # Reads FILE.partial while engine_verify does, where openssl is.
    # The shell ends well whatever happens to openssl, as whoever adopts it may have to see.
    (
        # shellcheck disable=SC2086 # a list of words
        $gentle openssl dgst -sha256 -r "$file.partial" >"$lock/sum.$mine" || rm -f "$lock/sum.$mine"
    ) 2>/dev/null &
    digest_pid=$!
}

end_digest() { # Sets $sha256.
    # For the guard: each step of the verification began a new list.
    identify "$digest_pid" && printf '%s %s\n' "$digest_pid" "$born" >>"$lock/children"
    wait "$digest_pid"
    digest_pid=
    { read -r sha256 rest <"$lock/sum.$mine"; } 2>/dev/null && return
    digest "$file.partial"
}

dismiss_digest() {
    [ -n "$digest_pid" ] || return 0
    ask TERM "$digest_pid" 2>/dev/null
    wait "$digest_pid"
    digest_pid=
}

publish() { # FILE.partial has passed: makes it FILE.
    size "$file.partial"
    versions="{\"server\":$(json_string "$server_version"),\"tool\":$(json_string "$tool_version")}"
    dismiss_guard
    if halted; then fail 1 "$why"; fi
    facts="\"run\":\"$run\",\"attempt\":$attempt,\"replacedRun\":\"$replaced_run\""
    facts="$facts,\"replacedAttempt\":$replaced_attempt"
    facts="$facts,\"sha256\":\"$sha256\",\"bytes\":$bytes,\"seconds\":$((now - began))"
    [ "$compression" = none ] || compressed=true
    facts="$facts,\"engine\":\"$engine\",\"format\":\"$format\",\"compression\":\"$compression\""
    facts="$facts,\"compressed\":$compressed"
    [ -z "$position" ] || facts="$facts,\"position\":$(json_string "$position")"
    [ -z "$data" ] || facts="$facts,\"data\":[${data#,}]"
    [ -z "$server" ] || facts="$facts,\"server\":$(json_string "$server")"
    [ -z "$notes" ] || facts="$facts,\"notes\":[${notes#,}]"
    facts="$facts,\"versions\":$versions,\"uid\":$(id -u),\"gid\":$(id -g)"
    must write "$lock/json" "{$facts,\"finishedAt\":\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"}"
    must flush "$lock/json"
    must mv -f "$lock/json" "$file.json.next"
    must flush "$directory"
    must mv -f "$file.partial" "$file"
    must mv -f "$file.json.next" "$file.json"
    must flush "$directory"
    must rm -f "$file.failed"
}

start() { # ARGS...
    for path in "$directory" "$lock"; do
        # Another start may make it first.
        [ -d "$path" ] || words=$(mkdir "$path" 2>&1) || [ -d "$path" ] || refuse "$words"
    done
    take
    clock
    began=$now deadline=$((now + limit))
    guard >/dev/null 2>&1 &
    guard_pid=$!
    lacking "$common_tools $engine_tools"
    [ -z "$missing" ] || fail 127 "the container lacks:$missing"
    settle
    effective
    replaced_run=$done_run replaced_attempt=$done_attempt
    be_gentle
    choose_compressor
    require_space
    engine_dump "$@"
    [ -s "$file.partial" ] || fail 1 "$engine wrote no data"
    begin_digest
    engine_verify
    engine_server
    end_digest
    step sync flush "$file.partial"
    publish
    judge
    report
}

engine_server() { :; } # Sets $server, who it is, and $data, where its data is, if it says that.

# ---- the command line --------------------------------------------------------------------------

probe() {
    lacking "$common_tools $engine_probe"
    printf '{"engine":"%s","missing":[' "$engine"
    comma=
    for tool in $missing; do
        printf '%s"%s"' "$comma" "$tool"
        comma=,
    done
    printf '],"versions":{'
    comma=
    for tool in $engine_probe; do
        version=$("$tool" --version 2>/dev/null) || continue
        printf '%s"%s":%s' "$comma" "$tool" "$(json_string "$version")"
        comma=,
    done
    printf '}}\n'
}

cancel() {
    judge
    if [ "$state" = running ]; then
        # The guard and the steps read the mark; a signal to the tool now saves a second.
        must write "$lock/cancel.$generation" cancelled
        each_child ask TERM
    fi
    report
}

is_number() { # TEXT: 1 to 999999999, so that every shell can count with it
    case $1 in '' | 0* | *[!0-9]* | ??????????*) return 1 ;; esac
}

setting() { # NAME=VALUE: sets $set_NAME.
    name=${1%%=*}
    case $name in
        '' | "$1" | *[!a-z_]*) refuse "not a setting: $1" ;;
    esac
    value=${1#*=}
    eval "set_$name=\$value"
}

set_task() { # RUN ATTEMPT FILE: checks them; `start` and `result` refuse alike.
    case $1 in
        '' | *[!A-Za-z0-9._-]*) refuse 'RUN must be letters, digits, dots, underscores and hyphens' ;;
    esac
    is_number "$2" || refuse 'ATTEMPT must be a number from 1'
    case $3 in
        */) refuse 'FILE must not end in a slash' ;;
        /*) ;;
        *) refuse 'FILE must be an absolute path' ;;
    esac
    run=$1 attempt=$2 file=$3 lock=$3.lock directory=${3%/*}/
    for path in "$file" "$file.json" "$file.json.next" "$file.partial" "$file.failed"; do
        if [ -L "$path" ] || { [ -e "$path" ] && [ ! -f "$path" ]; }; then
            refuse "$path is not a regular file: remove it or choose another FILE"
        fi
    done
    if [ -L "$lock" ] || { [ -e "$lock" ] && [ ! -d "$lock" ]; }; then
        refuse "$lock is not a directory: remove it or choose another FILE"
    fi
}

main() {
    # Ignored, not handled: whoever listened may go, and the tools inherit it.
    trap '' PIPE HUP
    exec </dev/null
    read -r main_pid rest </proc/self/stat
    identify "$main_pid" || refuse 'cannot read /proc/self/stat: is /proc mounted?'
    main_born=$born
    guard_pid='' digest_pid='' gentle='' engine_threads=${engine_threads:-4}
    sha256='' position='' server='' data='' notes='' note_count=0 verb=${1:-}
    compressed=false set_compress=no
    set_seconds='' set_minfree=0 set_host='' set_port='' set_user=''
    set_password_env='' set_password_file='' set_password_stdin='' set_database='' set_auth=''
    case $verb:$# in
        probe:1)
            probe
            exit 0
            ;;
        result:[123] | cancel:[123]) refuse "$verb takes RUN ATTEMPT FILE" ;;
        result:* | cancel:4) set_task "$2" "$3" "$4" ;;
        start:[123]) refuse 'start takes RUN ATTEMPT FILE and more' ;;
        start:*) set_task "$2" "$3" "$4" ;;
        *) refuse 'usage: probe | start RUN ATTEMPT FILE ... | result|cancel RUN ATTEMPT FILE' ;;
    esac
    case $verb in
        result)
            shift 4
            judge
            report "$@"
            ;;
        cancel) cancel ;;
        start)
            shift 4
            while [ $# -gt 0 ] && [ "$1" != -- ]; do
                setting "$1"
                shift
            done
            [ $# -eq 0 ] || shift
            is_number "$set_seconds" || refuse 'seconds must be a number from 1'
            limit=$set_seconds
            case $set_compress in yes | no) ;; *) refuse 'compress must be yes or no' ;; esac
            engine_check "$@"
            start "$@"
            ;;
    esac
    exit 0
}
