# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# What a dump is supplied with: a password, disk space, a compressor. See common.sh.

octal='' # a password from standard input, as printf's %b reads it; set below the functions

# ---- secrets, and text that others quote -----------------------------------------------------------------------------------

from_environment() { # NAMES: sets $value from the first variable NAME or file NAME_FILE there is.
    value=''
    for name in "$@"; do
        eval "value=\${$name:-} path=\${${name}_FILE:-}"
        if [ -z "$value" ] && [ -n "$path" ]; then
            value=$(cat "$path" 2>&1) || fail 1 "cannot read the file that ${name}_FILE names: $value"
        fi
        [ -z "$value" ] || return 0
    done
}

find_password() { # NAMES: sets $value, from where the policy says, else from the environment.
    if [ -n "$set_password_stdin" ]; then
        value=$(printf '%b.' "$octal")
        value=${value%.}
    elif [ -n "$set_password_file" ]; then
        value=$(cat "$set_password_file" 2>&1) || fail 1 "cannot read the password's file: $value"
    elif [ -n "$set_password_env" ]; then
        eval "value=\${$set_password_env:-}"
        [ -n "$value" ] || fail 1 "the container's environment has no $set_password_env"
    else
        from_environment "$@"
    fi
}

escape() { # TEXT QUOTE: sets $escaped, with a backslash before each such quote and backslash.
    escaped='' tail=$1
    while :; do
        head=${tail%%["\\$2"]*}
        [ "$head" != "$tail" ] || break
        tail=${tail#"$head"}
        escaped=$escaped$head\\${tail%"${tail#?}"}
        tail=${tail#?}
    done
    escaped=$escaped$tail
}

quote() { # TEXT: sets $quoted, the text in double quotes as YAML and MySQL's option files read it.
    escape "$1" '"'
    quoted=$escaped
    while :; do
        case $quoted in *"$newline"*) ;; *) break ;; esac
        quoted=${quoted%%"$newline"*}\\n${quoted#*"$newline"}
    done
    quoted="\"$quoted\""
}

newline='
'

# ---- space -------------------------------------------------------------------------------------

mebibytes() { printf '%s MiB' "$((($1 + 1048575) / 1048576))"; }

free_space() { # Sets $free, the bytes that we may still write beside FILE.
    free=$(stat -f -c '%a %S' "$directory" 2>&1) || return 1
    free=$((${free% *} * ${free#* }))
}

require_space() { # The last dump stays until the new one is whole: both must fit, and $set_minfree.
    [ "$set_minfree" -gt 0 ] || return 0
    free_space || fail 1 "cannot read the free space of $directory: $free"
    last=0
    [ -z "$done_line" ] || size "$file" && last=$bytes
    line=$done_line
    field compressed
    # Of a compressed dump it says too much: one that fits would never be tried. Of an uncompressed
    # one, the last that was compressed says too little, but at least that much is needed.
    if [ "$value" = false ] && [ "$compression" != none ]; then last=0; fi
    needed=$((last + last / 5 + set_minfree))
    [ "$free" -lt "$needed" ] || return 0
    fail 1 "not enough space in $directory: $(mebibytes "$free") free, $(mebibytes "$needed") \
needed (the last dump's $(mebibytes "$last") and a fifth, and minFree $(mebibytes "$set_minfree"))"
}

short_of_space() { # Is less than $set_minfree left? The database lives on the same disk.
    [ "$set_minfree" -gt 0 ] && free_space && [ "$free" -lt "$set_minfree" ]
}

# ---- compression -------------------------------------------------------------------------------

cgroups=/sys/fs/cgroup

threads() { # Sets $threads: the container's CPU limit, rounded up; at most $engine_threads.
    threads=$(nproc 2>/dev/null) || threads=1
    quota='' period=100000
    { read -r quota period <"$cgroups/cpu.max"; } 2>/dev/null || {
        read -r quota <"$cgroups/cpu/cpu.cfs_quota_us"
        read -r period <"$cgroups/cpu/cpu.cfs_period_us"
    } 2>/dev/null
    case $quota in
        '' | *[!0-9]*) ;; # "max" and "-1" are no limit
        *) [ "$((quota / period))" -ge "$threads" ] || threads=$(((quota + period - 1) / period)) ;;
    esac
    [ "$threads" -le "$engine_threads" ] || threads=$engine_threads
}

choose_compressor() { # Sets $compressor, a command, $compression, its name, and $buffered.
    # A little nicer than the tool, which it would else keep from filling the pipe. No more than
    # that: beside a busy database it must not starve.
    patient=''
    if nice -n 2 true 2>/dev/null; then patient='nice -n 2'; fi
    # Tools write 4 KiB at a time into a pipe. It is silent where its library can be loaded.
    buffered=''
    if words=$(stdbuf -o 256K true 2>&1) && [ -z "$words" ]; then buffered='stdbuf -o 256K'; fi
    compressor=cat compression=none
    [ "$set_compress" = yes ] || return 0
    threads
    if command -v zstd >/dev/null 2>&1; then
        compressor="zstd -1 -q -T$threads" compression=zstd
        [ "$threads" -gt 1 ] || compressor='zstd -1 -q --single-thread'
    elif command -v gzip >/dev/null 2>&1; then
        compressor='gzip -1' compression=gzip
    fi
}

widen() { # Makes the pipe that it writes to hold 1 MiB instead of 64 KiB, where perl is.
    # Tool and compressor then wait for each other less: a tenth of the time of a whole dump.
    perl -e 'fcntl(STDOUT, 1031, 1 << 20)' 2>/dev/null || :
}

squeezed() { # COMMAND...: puts what it prints into FILE.partial, compressed if that is wanted.
    # Each stage reports its exit status on 3. A dead compressor must not leave the dump running, nor
    # one that begins only then: of that the guard takes care.
    rm -f "$lock/stop"
    codes=$(
        exec 3>&1
        {
            gentle="$gentle $buffered"
            widen 3>&-
            "$@" 3>&-
            printf 'dump=%s ' "$?" >&3
        } | {
            # shellcheck disable=SC2086 # a list of words
            child $patient $compressor 3>&- >"$file.partial"
            code=$?
            if [ "$code" -ne 0 ]; then
                { printf '' >"$lock/stop"; } 2>/dev/null
                each_child ask TERM
            fi
            printf 'compressor=%s ' "$code" >&3
        }
    )
    code=${codes##*compressor=}
    code=${code%% *}
    if [ "$code" != 0 ]; then
        how="exit status $code"
        [ "${code:-0}" -le 128 ] || how="signal $((code - 128))"
        printf '\n%s ended by %s' "${compressor%% *}" "$how" >&2
        return 1
    fi
    code=${codes##*dump=}
    return "${code%% *}"
}

expand() { # PATH: prints what was compressed.
    case $compression in
        none) child cat "$1" ;;
        *) child "$compression" -dc "$1" ;;
    esac
}
