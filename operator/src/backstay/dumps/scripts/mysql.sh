# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# MySQL and MariaDB: SQL of one database, several, or all. See common.sh for what an engine provides.
#
# Settings: host, port, user, the password's; ARGS are databases, none means all. The user is root
# by default, with the password of MARIADB_ROOT_PASSWORD or MYSQL_ROOT_PASSWORD (or NAME_FILE); that
# of MARIADB_USER or MYSQL_USER is found alike. User and password go to the tools as an option file
# on standard input, so that they are neither arguments nor in the environment.
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

login() { # Sets $options, an option file.
    user=${set_user:-root}
    if [ "$user" = root ]; then
        find_password MARIADB_ROOT_PASSWORD MYSQL_ROOT_PASSWORD
    elif [ "$user" = "${MARIADB_USER:-${MYSQL_USER:-}}" ]; then
        find_password MARIADB_PASSWORD MYSQL_PASSWORD
    else
        find_password
    fi
    quote "$user"
    options="[client]${newline}user=$quoted$newline"
    quote "$value"
    [ -z "$value" ] || options="${options}password=$quoted$newline"
}

connected() { # COMMAND OPTIONS...
    tool=$1
    shift
    case $set_host in
        '') ;;
        /*) set -- --socket="$set_host" "$@" ;;
        *) set -- --host="$set_host" "$@" ;;
    esac
    [ -z "$set_port" ] || set -- --port="$set_port" "$@"
    printf '%s' "$options" | child "$tool" --defaults-extra-file=/dev/stdin "$@"
}

asked() { # SQL: prints the answer, columns parted by tabs.
    connected "$client" --batch --skip-column-names --execute="$1"
}

offers() { # TEXT: does the tool's help speak of it?
    case $help in *"$1"*) ;; *) return 1 ;; esac
}

engine_dump() { # DATABASES...: writes FILE.partial.
    login
    format=sql
    tool_version=$("$dumper" --version) || tool_version=
    help=$("$dumper" --help 2>/dev/null)
    step "$client" asked 'SELECT @@version, @@log_bin'
    read -r server_version log_bin <"$lock/out"
    case $# in
        0) set -- --all-databases --flush-privileges ;;
        1) set -- -- "$1" ;;
        *) set -- --databases -- "$@" ;;
    esac
    unlocked='' waiting=''
    ! offers --init-command || waiting='--init-command=SET SESSION lock_wait_timeout=60'
    ! offers --set-gtid-purged || unlocked=--set-gtid-purged=OFF
    if [ "$log_bin" = 1 ] && positioned; then
        try squeezed dumped "$@" && return
        case $words in
            *"Access denied; you need"*) located='' ;; # of the position only: said before any data
            *) broken "$dumper" ;;
        esac
    fi
    located=$unlocked
    step "$dumper" squeezed dumped "$@"
}

positioned() { # Can the position be had without harm? Sets $located, the options for it.
    if offers --gtid; then
        # The server tells the position of a snapshot: nothing has to be locked.
        step "$client" asked "SHOW STATUS LIKE 'binlog_snapshot_file'"
        located='--master-data=2 --gtid'
        [ -s "$lock/out" ]
    else
        located=--source-data=2
        offers --source-data || located=--master-data=2
        ! offers COMMENTED || located="$located --set-gtid-purged=COMMENTED"
        [ -n "$waiting" ]
    fi
}

engine_server() { # MySQL's server_uuid stays with its data directory; MariaDB has none.
    if try asked 'SELECT @@server_uuid'; then read -r server <"$lock/out"; fi
    try asked "SHOW GLOBAL VARIABLES WHERE Value <> '' AND Variable_name IN ('datadir',
        'innodb_data_home_dir', 'innodb_log_group_home_dir', 'innodb_undo_directory',
        'innodb_doublewrite_dir', 'aria_log_dir_path', 'rocksdb_datadir', 'rocksdb_wal_dir',
        'log_bin_basename')" || return 0
    home=$(sed -n 's/^datadir[[:space:]]*//p' "$lock/out")
    [ -n "$home" ] || return 0
    holds datadir "$home"
    while read -r name value; do
        case $name in
            datadir) continue ;;
            log_bin_basename) value=${value%/*} ;;
        esac
        case $value in /*) ;; *) value=$home/$value ;; esac
        holds "$name" "$value"
    done <"$lock/out"
    holds_links "${home%/}"
    # Tables with a DATA DIRECTORY: MariaDB keeps a file with the path, MySQL 8 a table.
    for link in "${home%/}"/*/*.isl; do
        value=''
        read -r value <"$link"
        if [ -n "$value" ]; then holds "${link##*/}" "${value%/*}"; fi
    done 2>/dev/null
    if try asked "SELECT DISTINCT left(PATH, length(PATH) - locate('/', reverse(PATH)))
        FROM information_schema.INNODB_DATAFILES WHERE PATH LIKE '/%'"; then
        while read -r value; do
            holds 'DATA DIRECTORY' "$value"
        done <"$lock/out"
    fi
}

dumped() { # DATABASES and options for them
    [ -z "$waiting" ] || set -- "$waiting" "$@"
    # shellcheck disable=SC2086 # a list of words
    connected "$dumper" $located --single-transaction --quick --skip-lock-tables --routines \
        --events --triggers --hex-blob --no-tablespaces --default-character-set=utf8mb4 \
        --max-allowed-packet=1G "$@"
}

engine_verify() { # Sets $position from the dump itself.
    ends_with '-- Dump completed'
    [ -n "$located" ] || return 0
    # At the head, and MariaDB's GTID at the end.
    position=$({
        expand "$file.partial" 2>/dev/null | sed -n 's/^-- \(CHANGE .*_LOG_FILE=.*\);/\1/p; 200q'
        sed -n 's/^-- \(SET GLOBAL gtid_slave_pos=.*\);/\1/p' "$lock/out"
    } | tr '\n' ' ')
    position=${position% }
}
