# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# PostgreSQL: one database in the custom format. See common.sh for what an engine provides.
#
# Connects as the container's environment says, like libpq: PGHOST, PGPORT; PGUSER, else
# POSTGRES_USER; PGPASSWORD, else POSTGRES_PASSWORD (either also as NAME_FILE, as the official
# image has it). Secrets stay in the environment. `pg_restore -l` proves header and table of
# contents only; that the data got there is what pg_dump's exit status and the flush say.

engine=postgres
engine_tools='pg_dump pg_restore'
engine_probe='pg_dump pg_restore psql'

from_environment() { # NAME: sets $value from $NAME, else from the file that $NAME_FILE names.
    eval "value=\${$1:-} path=\${${1}_FILE:-}"
    if [ -z "$value" ] && [ -n "$path" ]; then
        value=$(cat "$path" 2>&1) || fail 1 "cannot read the file that ${1}_FILE names: $value"
    fi
}

conninfo() { # TEXT: sets $quoted, the text as a value in a libpq connection string.
    quoted='' tail=$1
    while :; do
        case $tail in *[\\\']*) ;; *) break ;; esac
        head=${tail%%[\\\']*}
        tail=${tail#"$head"}
        quoted=$quoted$head\\${tail%"${tail#?}"}
        tail=${tail#?}
    done
    quoted="'$quoted$tail'"
}

engine_check() { # DATABASE
    if [ $# -ne 1 ] || [ -z "$1" ]; then refuse 'start takes one database name, not an empty one'; fi
}

pg_dump_with() { # COMPRESSION DATABASE
    conninfo "$2"
    child pg_dump --format=custom --compress="$1" --file="$file.partial" --no-password \
        --lock-wait-timeout=60000 --dbname="dbname=$quoted"
}

engine_dump() { # DATABASE: writes FILE.partial.
    if [ -z "${PGUSER:-}" ]; then
        from_environment POSTGRES_USER
        PGUSER=${value:-postgres}
    fi
    if [ -z "${PGPASSWORD:-}" ]; then
        from_environment POSTGRES_PASSWORD
        PGPASSWORD=$value
    fi
    export PGUSER PGPASSWORD
    tool=$(pg_dump --version) || tool=
    major=${tool##*"(PostgreSQL) "}
    major=${major%%[!0-9]*}
    # zstd is cheaper and smaller, but a build may lack it; pg_dump says so before it connects.
    if [ "${major:-0}" -ge 16 ]; then
        try pg_dump_with zstd:1 "$1" && return
        case $words in
            *"does not support compression"*) ;;
            *) broken pg_dump ;;
        esac
    fi
    step pg_dump pg_dump_with 1 "$1"
}

engine_verify() { # Sets $server_version and $tool_version from the dump itself.
    step 'pg_restore -l' child pg_restore -l "$file.partial"
    server_version=$(sed -n 's/^; *Dumped from database version: //p' "$lock/out")
    tool_version=$(sed -n 's/^; *Dumped by pg_dump version: //p' "$lock/out")
}
