# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# PostgreSQL: one database in the custom format, or SQL of several, of all, of the globals. See
# common.sh for what an engine provides.
#
# Settings: format (custom, plain), globals (include, omit, only), host, port, user, the password's;
# ARGS are databases, none means all. What is not set is as the container's environment says, like
# libpq: PGHOST, PGPORT; PGUSER, else POSTGRES_USER; PGPASSWORD, else POSTGRES_PASSWORD (either also
# as NAME_FILE, as the official image has it). Passwords stay in the environment of the tools that
# connect. Plain with more in it than one database is like pg_dumpall's: `\connect` leads from one
# to the next. pg_dumpall itself makes the globals only: where it is killed, its pg_dump goes on.
#
# `pg_restore -l` proves header and table of contents only; that the data got there is what
# pg_dump's exit status and the flush say.

engine=postgres
engine_tools=pg_dump
engine_probe='pg_dump pg_restore psql pg_dumpall'

conninfo() { # KEYWORD VALUE: adds it to $connection, unless it is empty.
    [ -n "$2" ] || return 0
    escape "$2" "'"
    connection="$connection $1='$escaped'"
}

connect_to() { # DATABASE: sets $connection.
    # A service file may have these: they say how a server answers, not where it is.
    connection="options='' client_encoding=''"
    conninfo host "$set_host"
    conninfo port "$set_port"
    conninfo user "$user"
    conninfo dbname "$1"
}

login() { # Sets $user and $password.
    user=$set_user
    if [ -z "$user" ] && [ -z "${PGUSER:-}" ]; then
        from_environment POSTGRES_USER
        user=${value:-postgres}
    fi
    find_password PGPASSWORD POSTGRES_PASSWORD
    password=$value
    # They say how to speak to a server, not where it is: a dump would change with them.
    for name in PGOPTIONS PGCLIENTENCODING PGDATESTYLE PGTZ; do
        eval "value=\${$name:-}"
        [ -z "$value" ] || note "not used, though the container's environment has it: $name"
    done
    unset PGOPTIONS PGCLIENTENCODING PGDATESTYLE PGTZ PGGEQO PGDATABASE PG_COLOR
}

connected() { # COMMAND...
    (
        PGPASSWORD=$password
        export PGPASSWORD
        child "$@" --no-password --dbname="$connection"
    )
}

engine_check() { # DATABASES...
    for database in "$@"; do
        [ -n "$database" ] || refuse 'a database name is empty'
    done
    case $set_format:$set_globals:$# in
        custom:omit:1) engine_tools='pg_dump pg_restore' ;;
        custom:*) refuse 'format custom takes one database name and no globals' ;;
        plain:omit:0 | plain:include:0) engine_tools='pg_dump pg_dumpall psql' ;;
        plain:omit:*) ;;
        plain:include:* | plain:only:0) engine_tools='pg_dump pg_dumpall' ;;
        *) refuse 'format is custom or plain; globals is include, omit, or without databases only' ;;
    esac
}

engine_dump() { # DATABASES...: writes FILE.partial.
    login
    named=${1:-postgres}
    tool_version=$(pg_dump --version) || tool_version=
    tool_version=${tool_version#*"(PostgreSQL) "}
    format=$set_format
    everything=no
    if [ "$format" = custom ]; then
        look_at_databases "$1"
        custom "$1"
        note_warnings
        return
    fi
    alone=no
    [ "$set_globals:$#" != omit:1 ] || alone=yes
    if [ $# -eq 0 ] && [ "$set_globals" != only ]; then
        everything=yes
        step psql databases
        # Each line is one name, as printf's %b reads it.
        while read -r line; do
            name=$(printf '%b.' "$line")
            set -- "$@" "${name%.}"
        done <"$lock/out"
    fi
    look_at_databases "$@"
    step pg_dump squeezed plain "$@"
    note_warnings
}

custom() { # DATABASE
    connect_to "$1"
    if [ "$set_compress" = no ]; then
        step pg_dump archive --compress=0 --file="$file.partial"
        return
    fi
    packer=$compression
    compression=none compressed=true
    # Inside the archive, so that pg_restore takes it as it is; zstd is cheaper and smaller.
    major=${tool_version%%[!0-9]*}
    if [ "${major:-0}" -ge 16 ]; then
        try archive --compress=zstd:1 --file="$file.partial" && return
        case $words in
            *"does not support compression"*) ;; # said before it connects
            *) broken pg_dump ;;
        esac
    fi
    if [ "$packer" = zstd ]; then
        compression=$packer
        step pg_dump squeezed archive --compress=0
    else
        step pg_dump archive --compress=1 --file="$file.partial"
    fi
}

archive() { # OPTIONS...
    connected pg_dump --format=custom --lock-wait-timeout=60000 "$@"
}

databases() { # Prints the names, as pg_dumpall would find them.
    query="SELECT replace(replace(datname, E'\\\\', E'\\\\\\\\'), E'\\n', E'\\\\n') FROM pg_database
        WHERE datallowconn AND datconnlimit <> -2 ORDER BY datname <> 'template1', datname"
    for database in postgres template1; do
        connect_to "$database"
        connected psql -XAtq -v ON_ERROR_STOP=1 -c "$query" && return
    done
}

plain() { # DATABASES...: prints SQL.
    if [ "$set_globals" != omit ]; then
        connect_to ''
        connected pg_dumpall --globals-only || return
    fi
    for database in "$@"; do
        connect_to "$database"
        case $alone:$database in
            yes:*) set -- ;;
            *:postgres | *:template1) # they exist wherever this is restored
                printf '\\connect %s\n\n' "$database"
                set --
                ;;
            *) set -- --create ;;
        esac
        connected pg_dump --lock-wait-timeout=60000 "$@" || return
    done
}

engine_verify() { # Sets $server_version from the dump itself.
    if [ "$format" = custom ]; then
        step 'pg_restore -l' listing
        must mv -f "$lock/out" "$lock/list"
        server_version=$(sed -n 's/^; *Dumped from database version: //p' "$lock/list")
        step awk awk "$in_archive" "$lock/list"
        must mv -f "$lock/out" "$lock/found"
    else
        wanted='-- PostgreSQL database dump complete'
        [ "$set_globals" != only ] || wanted='-- PostgreSQL database cluster dump complete'
        read_back '' "$in_sql" "$wanted"
        server_version=$(sed -n "s/^VERSION$tab//p" "$lock/found")
    fi
    [ ! -e "$lock/before" ] || compare_contents
}

listing() {
    { expand "$file.partial" 2>/dev/null || :; } | child pg_restore -l
}

engine_server() { # The system identifier stays until initdb. Without psql neither is known.
    command -v psql >/dev/null 2>&1 || return 0
    for database in "$named" postgres template1; do
        connect_to "$database"
        try asked 'SELECT system_identifier FROM pg_control_system()' || continue
        read -r server <"$lock/out"
        break
    done
    for database in "$named" postgres template1; do
        connect_to "$database"
        try asked "SELECT 'data_directory', setting FROM pg_settings WHERE name = 'data_directory'
            UNION ALL SELECT 'tablespace', pg_tablespace_location(oid) FROM pg_tablespace
            WHERE pg_tablespace_location(oid) <> ''" || continue
        data_directory=''
        while read -r name value; do
            [ "$name" != data_directory ] || data_directory=$value
            [ "$name" = data_directory ] || holds "$name" "$value"
        done <"$lock/out"
        # Only some may see it. Where the server is not in this container, this names nothing.
        data_directory=${data_directory:-${PGDATA:-}}
        if [ -z "$data_directory" ]; then
            data=''
            return 0
        fi
        holds data_directory "$data_directory"
        holds pg_wal "$data_directory/pg_wal"
        holds_links "$data_directory"
        return 0
    done
}
