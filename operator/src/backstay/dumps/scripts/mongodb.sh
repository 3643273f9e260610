# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# MongoDB: one database or all, as mongodump's archive. See common.sh for what an engine provides.
#
# Settings: database, host, port, user, the password's, auth (the database that knows the user).
# User and password are MONGO_INITDB_ROOT_USERNAME and MONGO_INITDB_ROOT_PASSWORD by default (or
# NAME_FILE). The password goes to mongodump as a configuration file on standard input.
#
# All databases of a replica set's member are dumped with the oplog of the meantime, so that a
# restore ends at one moment. Where there is none, mongodump says so before it reads any data.

engine=mongodb
engine_tools=mongodump
engine_probe='mongodump mongorestore'

engine_check() {
    [ $# -eq 0 ] || refuse 'the database is a setting, there are no arguments'
    [ "$set_compress" = no ] || engine_tools='mongodump gzip'
}

engine_dump() {
    format=archive compression=none
    [ "$set_compress" = no ] || compression=gzip
    user=$set_user
    if [ -z "$user" ]; then
        from_environment MONGO_INITDB_ROOT_USERNAME
        user=$value
    fi
    find_password MONGO_INITDB_ROOT_PASSWORD
    quote "$value"
    config="password: $quoted"
    tool_version=$(mongodump --version) || tool_version=
    tool_version=${tool_version%%[[:cntrl:]]*}
    if [ -z "$set_database" ]; then
        try archive --oplog && position='oplog included: restore with --oplogReplay' &&
            note_warnings && return
        case $words in
            # oplog.$main is where it looks on a server that is in no replica set.
            *"getting oplog start"*"no documents in result"* | *"oplog.\$main"* | *"from a mongos"*) ;;
            *) broken mongodump ;;
        esac
        step mongodump archive
    else
        step mongodump archive --db="$set_database"
    fi
    note_warnings
}

archive() { # OPTIONS...
    [ -z "$set_host" ] || set -- --host="$set_host" "$@"
    [ -z "$set_port" ] || set -- --port="$set_port" "$@"
    if [ -n "$user" ]; then
        set -- --username="$user" --authenticationDatabase="${set_auth:-admin}" \
            --config=/dev/stdin "$@"
    fi
    [ "$compression" = none ] || set -- --gzip "$@"
    printf '%s\n' "$config" | child mongodump --archive="$file.partial" "$@"
}

engine_verify() { # The archive's head names the server.
    if [ "$compression" = gzip ]; then
        step gzip child gzip -t "$file.partial" # it has a checksum
    else
        require_ends
    fi
    server_version=$(beginning 512 | sed -n '/^server_version$/{n;p;q;}')
    note_what_is_hidden
}

require_ends() { # No tool reads the checksums of the collections without a server.
    # shellcheck disable=SC2046 # numbers
    set -- $({ head -c 4 "$file.partial" && tail -c 4 "$file.partial"; } | od -An -v -tu1)
    case "$*" in
        '109 226 153 129 255 255 255 255') ;;
        *) fail 1 'the dump does not begin and end as an archive does' ;;
    esac
}

beginning() { # BYTES: prints the texts in that much of the archive, each on a line.
    if [ "$compression" = gzip ]; then gzip -dc "$file.partial"; else cat "$file.partial"; fi \
        2>/dev/null | head -c "$1" | tr -cs ' -~' '\n'
}

note_what_is_hidden() { # The archive begins with a list of its collections.
    # A server lists the databases that the user may see, and a dump of all is of those. The database
    # admin, with users and roles, is on every server. The list is of some hundred bytes a collection.
    [ -z "$set_database" ] || return 0
    beginning 4194304 |
        awk 'was == "db" && $0 == "admin" { found = 1 } { was = $0 } END { exit !found }' ||
        note "the dump has no database admin, so users and roles are not in it, and other databases \
may be hidden from the user as well: grant it the role backup"
}

engine_server() { # mongod's command line says where its data is; no shell of MongoDB's is needed.
    for process in /proc/[0-9]*; do
        { read -r name <"$process/comm"; } 2>/dev/null && [ "$name" = mongod ] || continue
        words=$(tr '\0\n' '\n ' <"$process/cmdline" 2>/dev/null)
        home=$(printf '%s\n' "$words" | sed -n 's/^--dbpath=//p; /^--dbpath$/{n;p;}')
        settings=$(printf '%s\n' "$words" | sed -n 's/^--config=//p; /^\(--config\|-f\)$/{n;p;}')
        if [ -z "$home" ] && [ -f "$settings" ]; then
            home=$(sed -n 's/^[[:space:]]*dbPath:[[:space:]]*//p' "$settings" | tr -d "'\"")
        fi
        home=${home:-/data/db}
        [ -e "$home/WiredTiger" ] || continue
        holds dbPath "$home"
        [ ! -d "$home/journal" ] || holds journal "$home/journal"
        holds_links "$home"
        return 0
    done
}
