# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# MySQL and MariaDB: SQL of one database, several, or all. See common.sh for what an engine provides.
#
# Settings: host, port, user, the password's; ARGS are databases, none means all. The user is root
# by default, with the password of MARIADB_ROOT_PASSWORD or MYSQL_ROOT_PASSWORD (or NAME_FILE); that
# of MARIADB_USER or MYSQL_USER is found alike. User and password go to the tools as an option file
# on standard input, so that they are neither arguments nor in the environment; see mysql_server.sh.
#
# InnoDB is read in one snapshot and nothing is locked. Where the server writes a binary log, the
# dump says at which position the snapshot stands, if that costs no lock (MariaDB) or only one that
# is given up after a minute (MySQL: the tool needs --init-command); else it is not known.

engine=mysql
engine_threads=1 # one thread compresses faster than any of these tools writes
engine_probe='mariadb-dump mysqldump mariadb mysql'

engine_check() { # DATABASES...
    for database in "$@"; do
        [ -n "$database" ] || refuse 'a database name is empty'
    done
    first_of mariadb-dump mysqldump
    dumper=$tool
    first_of mariadb mysql
    client=$tool
    engine_tools="$dumper $client"
}

offers() { # TEXT: does the tool's help speak of it?
    case $help in *"$1"*) ;; *) return 1 ;; esac
}

engine_dump() { # DATABASES...: writes FILE.partial.
    login
    format=sql
    tool_version=$("$dumper" --version 2>/dev/null) || tool_version=
    help=$("$dumper" --help 2>/dev/null)
    try asked 'SELECT @@version, @@log_bin, CURRENT_USER()' || refused "$client"
    read -r server_version log_bin current_user <"$lock/out"
    require_rights "$@"
    choose "$@"
    look_at_server "$client"
    # Doubled, a large value that the server took would be more than it takes again.
    binary=''
    grep -q '^LARGE' "$lock/before" || binary=--hex-blob
    history=''
    keep_history
    note_what_differs
    case $# in
        0) set -- --all-databases --flush-privileges ;;
        1) set -- -- "$1" ;;
        *) set -- --databases -- "$@" ;;
    esac
    unlocked='' waiting=''
    ! offers --init-command || waiting='--init-command=SET SESSION lock_wait_timeout=60'
    without_limit
    ! offers --set-gtid-purged || unlocked=--set-gtid-purged=OFF
    if [ "$log_bin" = 1 ] && positioned; then
        try squeezed dumped "$@" && note_warnings && return
        case $words in
            *"Access denied; you need"*) located='' ;; # of the position only: said before any data
            *) refused "$dumper" ;;
        esac
    fi
    located=$unlocked
    try squeezed dumped "$@" || refused "$dumper"
    note_warnings
}

refused() { # TOOL: ends the attempt for what the last try said, with the remedy where it is known.
    case $words in
        *"insufficient privileges to SHOW CREATE"*) words="$words GRANT $routines TO $account;" ;;
        *"Access denied for user"*)
            [ -z "$other_login" ] || words="$words (user and password of option files are not used: \
name them in the policy)"
            ;;
    esac
    broken "$1"
}

without_limit() { # A server may truncate every SELECT, which the tools do not know of.
    step "$client" asked_as_others 'SELECT @@sql_select_limit'
    select_limit=0 # which truncates the answer, too
    read -r select_limit <"$lock/out"
    case ${select_limit:=0} in 18446744073709551615) return 0 ;; esac
    [ -n "$waiting" ] || fail 1 "sql_select_limit of the server (or its init_connect) is \
$select_limit: no more rows of a table would be dumped. SET GLOBAL sql_select_limit = DEFAULT;"
    waiting="$waiting, SESSION sql_select_limit=18446744073709551615"
}

keep_history() { # Sets $history, the option for that of system-versioned tables.
    listed VERSIONED || return 0
    versioned=$found
    if ! offers --dump-history; then
        note "the history of $versioned is not in the dump: $dumper before 10.11 cannot dump it"
        return 0
    fi
    step "$client" asked "SELECT 'EXACT', concat(TABLE_SCHEMA, '.', TABLE_NAME)
        FROM information_schema.COLUMNS WHERE DATA_TYPE = 'bigint'
        AND GENERATION_EXPRESSION = 'ROW START' AND $(of_chosen TABLE_SCHEMA)"
    history=--dump-history
    listed EXACT "$lock/out" || return 0
    history=''
    note "the history of $versioned is not in the dump: $dumper cannot dump one that is kept by \
transaction, as that of $found"
}

note_what_differs() {
    ! listed ASLEEP || note "events that a replica does not run stay disabled in what is restored: $found"
    ! listed LOOSE || note "not of the same moment as the rest, for want of transactions: $found"
}

positioned() { # Can the position be had without harm? Sets $located, the options for it.
    if offers --gtid; then
        # The server gives the position of a snapshot: nothing has to be locked.
        step "$client" asked "SELECT f.VARIABLE_VALUE,
                BINLOG_GTID_POS(f.VARIABLE_VALUE, p.VARIABLE_VALUE)
            FROM information_schema.GLOBAL_STATUS f, information_schema.GLOBAL_STATUS p
            WHERE f.VARIABLE_NAME = 'BINLOG_SNAPSHOT_FILE'
            AND p.VARIABLE_NAME = 'BINLOG_SNAPSHOT_POSITION'"
        located='--master-data=2 --gtid'
        read -r log_file gtid <"$lock/out" || return 1
        # Where an event is larger than it may read, the server cannot say, and the tool crashes.
        [ "$gtid" = NULL ] || return 0
        note "the position is not known: $log_file has an event larger than max_allowed_packet. \
FLUSH BINARY LOGS;"
        return 1
    else
        located=--source-data=2
        offers --source-data || located=--master-data=2
        ! offers COMMENTED || located="$located --set-gtid-purged=COMMENTED"
        [ -n "$waiting" ]
    fi
}

dumped() { # DATABASES and options for them
    [ -z "$waiting" ] || set -- "$waiting" "$@"
    # shellcheck disable=SC2086 # a list of words
    connected "$dumper" $located $history $binary --single-transaction --quick --skip-lock-tables \
        --routines --events --triggers --no-tablespaces --default-character-set=utf8mb4 \
        --max-allowed-packet=1G "$@"
}

engine_verify() { # Sets $position from the dump itself.
    read_back '|CREATE DEFINER=|.[*]!50(003|106) CREATE' "$in_dump" '-- Dump completed'
    position=$(sed -n "s/^POSITION$tab//p" "$lock/found")
    [ -n "$located" ] || position=''
    compare_contents
}
