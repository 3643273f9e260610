# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# Redis and Valkey: the whole server, as the RDB file that it sends to a replica. See common.sh for
# what an engine provides.
#
# Settings: host, port, user, the password's. The password is REDISCLI_AUTH by default, else
# REDIS_PASSWORD or VALKEY_PASSWORD (or NAME_FILE), and goes to the client's environment alone.

engine=redis
engine_probe='redis-cli redis-check-rdb valkey-cli valkey-check-rdb'

engine_check() {
    [ $# -eq 0 ] || refuse 'a dump is of the whole server: it takes no arguments'
    first_of valkey-cli redis-cli
    client=$tool
    engine_tools=$client
}

connected() { # ARGUMENTS...
    [ -z "$set_user" ] || set -- --user "$set_user" "$@"
    [ -z "$set_port" ] || set -- -p "$set_port" "$@"
    case $set_host in
        '') ;;
        /*) set -- -s "$set_host" "$@" ;;
        *) set -- -h "$set_host" "$@" ;;
    esac
    (
        if [ -n "$password" ]; then
            REDISCLI_AUTH=$password VALKEYCLI_AUTH=$password
            export REDISCLI_AUTH VALKEYCLI_AUTH
        fi
        child "$client" "$@"
    )
}

engine_dump() {
    format=rdb compression=none # it compresses values itself
    find_password REDISCLI_AUTH REDIS_PASSWORD VALKEY_PASSWORD
    password=$value
    tool_version=$("$client" --version) || tool_version=
    # The client's exit status says nothing of the server's answer.
    try connected info || refused
    server_version=$(sed -n 's/^\(redis\|valkey\)_version:\([^[:cntrl:]]*\).*/\1 \2/p' "$lock/out")
    [ -n "$server_version" ] || refused
    note_omissions
    count_keys
    keys_before=$keys expires_before=$expires
    try connected --rdb "$file.partial" || refused
}

refused() { # Ends the attempt for what the last try said, with the grant to give.
    words="$words $(head -c 300 "$lock/out")"
    case $words in
        *NOPERM*) words="$words: ACL SETUSER ${set_user:-default} +info +ping +replconf +psync +sync \
+config|get" ;;
    esac
    [ "$status" -ne 0 ] || status=1
    broken "$client"
}

note_omissions() { # Of what INFO says in $lock/out.
    ! grep -q '^cluster_enabled:1' "$lock/out" ||
        note 'the server is a node of a cluster: the dump has the keys of its own slots only'
    modules=$(sed -n 's/^module:name=\([^,]*\).*/\1/p' "$lock/out" | tr '\n' ' ')
    [ -z "$modules" ] || note "a server that loads the dump needs the modules ${modules% }"
}

count_keys() { # Sets $keys, how many INFO says in $lock/out that there are, $expires that may go.
    keys=0 expires=0
    while IFS='=,' read -r database db_keys name db_expires rest; do
        case $database in
            db[0-9]*:keys)
                keys=$((keys + db_keys))
                expires=$((expires + ${db_expires%%[!0-9]*}))
                ;;
        esac
    done <"$lock/out"
}

compare_keys() { # $lock/out is what the check of the file said.
    read_keys=$(sed -n 's/^.*\[info\] \([0-9]*\) keys read.*/\1/p' "$lock/out")
    [ -n "$read_keys" ] || return 0
    try connected info || return 0
    count_keys
    # What expires may be gone; what came or went in the meantime is nobody's mistake.
    [ "$keys" -lt "$keys_before" ] || keys=$keys_before
    [ "$expires" -gt "$expires_before" ] || expires=$expires_before
    [ "$((read_keys + expires))" -ge "$keys" ] ||
        note "the server had $keys keys before and after the dump, which has $read_keys"
}

engine_verify() {
    case $(head -c 9 "$file.partial") in
        REDIS[0-9]* | VALKEY[0-9]*) ;;
        *) fail 1 'the dump does not begin as an RDB file does' ;;
    esac
    # The end mark, and eight bytes of checksum.
    # shellcheck disable=SC2046 # numbers
    set -- $(tail -c 9 "$file.partial" | od -An -v -tu1)
    [ "$1" = 255 ] || fail 1 'the dump does not end as an RDB file does'
    first_of valkey-check-rdb redis-check-rdb
    if command -v "$tool" >/dev/null 2>&1; then
        step "$tool" child "$tool" "$file.partial"
        compare_keys
    else
        note "the container has no $tool: the keys in the dump were not counted"
    fi
}

engine_server() { # What says who it is does not stay. CONFIG may be forbidden.
    configured dir || return 0
    home=$value
    holds dir "$home"
    if configured appenddirname && [ -d "$home/$value" ]; then
        holds appenddirname "$home/$value"
    fi
    holds_links "$home"
}

configured() { # NAME: sets $value, the server's setting; fails if it does not say.
    try connected config get "$1" || return 1
    { read -r name && read -r value; } <"$lock/out" && [ "$name" = "$1" ] && [ -n "$value" ]
}
