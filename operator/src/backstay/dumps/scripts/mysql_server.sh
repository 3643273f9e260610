# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# MySQL and MariaDB: how to reach the server, and what it has. See mysql.sh.
#
# The tools' option files say where a server is; they may as well say what a dump leaves out. So no
# tool reads them: what they say of the connection is handed over, the rest is a note. User and
# password are never taken from them.

login() { # Sets $options, the only option file that the tools read.
    user=${set_user:-root}
    if [ "$user" = root ]; then
        find_password MARIADB_ROOT_PASSWORD MYSQL_ROOT_PASSWORD
    elif [ "$user" = "${MARIADB_USER:-${MYSQL_USER:-}}" ]; then
        find_password MARIADB_PASSWORD MYSQL_PASSWORD
    else
        find_password
    fi
    options="[client]$newline"
    # Only the client reads MYSQL_HOST: it would speak to another server than the dump's tool. MySQL's
    # tools read a login path whatever other files they are given.
    unset MYSQL_HOST
    MYSQL_TEST_LOGIN_FILE=$lock/none
    export MYSQL_TEST_LOGIN_FILE
    read_option_files
    quote "$user"
    options="${options}user=$quoted$newline"
    quote "$value"
    [ -z "$value" ] || options="${options}password=$quoted$newline"
}

read_option_files() { # Adds to $options what the files say of the connection, notes the rest.
    # It has passwords in it: never to the disk. Lines are ` --NAME=VALUE --NAME`.
    other_login=''
    from_files=$("$dumper" --print-defaults 2>/dev/null) || return 0
    case $from_files in *"$newline"*) ;; *) return 0 ;; esac
    secret=$value ignored='' left=" ${from_files#*"$newline"}"
    while :; do
        case $left in *' --'*) left=${left#*' --'} ;; *) break ;; esac
        option=${left%%' --'*}
        value=${option#*=}
        name=${option%%=*}
        name=${name%%' '*}
        name=$(printf '%s' "${name#loose[-_]}" | tr _ -)
        case $name in
            host | port | socket | protocol | bind-address)
                # A policy that names the host means that host.
                [ -z "$set_host" ] || continue
                ;;
            ssl | ssl-* | skip-ssl* | tls-* | plugin-dir | default-auth | enable-cleartext-plugin | \
                get-server-public-key | server-public-key-path | compress | compression-*) ;;
            user | password)
                other_login=yes
                continue
                ;;
            '' | quick | quote-names | max-allowed-packet | net-buffer-length | \
                default-character-set | single-transaction | routines | events | triggers | opt | \
                hex-blob | no-tablespaces)
                continue # ours anyway, or without effect on what is dumped
                ;;
            *)
                ignored="$ignored, $name"
                continue
                ;;
        esac
        case $option in
            *=*)
                quote "${value%"${value##*[! ]}"}"
                options="$options$name=$quoted$newline"
                ;;
            *) options="$options$name$newline" ;;
        esac
    done
    value=$secret
    [ -z "$ignored" ] ||
        note "not used, though option files of the container have it: ${ignored#, }"
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
    printf '%s' "$options" | child "$tool" --defaults-file=/dev/stdin "$@"
}

asked() { # SQL: prints the answer, columns parted by tabs.
    # What the server has for everybody could truncate our answers, or quote names in another way. Behind a
    # table that somebody holds alone we wait for a minute.
    asked_as_others "SET SESSION sql_mode = '', SESSION sql_quote_show_create = 1,
        SESSION lock_wait_timeout = 60, SESSION sql_select_limit = 18446744073709551615; $1"
}

asked_as_others() { # SQL: in the session that the server gives everybody.
    connected "$client" --batch --raw --skip-column-names --default-character-set=utf8mb4 \
        --execute="$1"
}

# ---- what it has -------------------------------------------------------------------------------

choose() { # DATABASES...: sets $chosen, their names for SQL; none: all.
    chosen=''
    for database in "$@"; do
        # Bytes: no mode of the server and no collation reads them in another way.
        chosen="$chosen,_utf8mb4 x'$(printf '%s' "$database" | od -An -v -tx1 | tr -d ' \n')'"
    done
    chosen=${chosen#,}
}

of_chosen() { # COLUMN: prints a condition.
    # The tools leave these out, or dump some of their tables only.
    printf "%s NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys', 'ndbinfo')" "$1"
    [ -z "$chosen" ] || printf \
        ' AND %s IN (%s) AND (@@lower_case_table_names > 0 OR CAST(%s AS BINARY) IN (%s))' \
        "$1" "$chosen" "$1" "$chosen"
}

objects() { # Prints kind, database, name, type and engine of all that a dump should have.
    asked "SELECT 'TABLE', TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, coalesce(ENGINE, '')
        FROM information_schema.TABLES WHERE $(of_chosen TABLE_SCHEMA)
        UNION ALL SELECT 'ROUTINE', ROUTINE_SCHEMA, ROUTINE_NAME, lower(ROUTINE_TYPE), ''
        FROM information_schema.ROUTINES WHERE $(of_chosen ROUTINE_SCHEMA)
        UNION ALL SELECT 'TRIGGER', TRIGGER_SCHEMA, TRIGGER_NAME, 'trigger', ''
        FROM information_schema.TRIGGERS WHERE $(of_chosen TRIGGER_SCHEMA)
        UNION ALL SELECT 'EVENT', EVENT_SCHEMA, EVENT_NAME, 'event', STATUS
        FROM information_schema.EVENTS WHERE $(of_chosen EVENT_SCHEMA)
        UNION ALL SELECT DISTINCT 'LARGE', '', '', '', '' FROM information_schema.COLUMNS
        WHERE (DATA_TYPE IN ('mediumblob', 'longblob') OR DATA_TYPE LIKE '%geom%'
            OR DATA_TYPE LIKE '%polygon' OR DATA_TYPE LIKE '%point' OR DATA_TYPE LIKE '%linestring')
        AND $(of_chosen TABLE_SCHEMA)"
}

catalogue() {
    objects >"$lock/objects" || return
    # shellcheck disable=SC2016 # awk's
    awk -F '\t' '
        function emit(key, words, severity) { print key "\t" words "\t" severity }
        NF != 5 { next } # a name with a tab or newline in it
        {
            name = $3
            gsub(/`/, "``", name)
            name = "`" name "`"
            shown = $2 "." $3
        }
        $1 == "LARGE" { print "LARGE\t\tnone"; next }
        $1 == "EVENT" && $5 ~ /SIDE_DISABLED/ { print "ASLEEP\t" shown "\tnone" }
        $1 != "TABLE" { emit($1, ($4 == "event" ? "an " : "a ") $4 " of " $2, "fail"); next }
        $4 == "VIEW" { emit("VIEW " name, "view " shown, "fail"); next }
        $4 == "SEQUENCE" { emit("SEQUENCE " name, "sequence " shown, "fail"); next }
        {
            # Tools leave out the rows of engines that have them elsewhere, and such tables of S3.
            emit("TABLE " name, "table " shown, $5 == "S3" ? "note" : "fail")
            elsewhere = $5 ~ /^(MRG_MyISAM|MRG_ISAM|FEDERATED|CONNECT|SPIDER|OQGRAPH|VP|S3)$/
            emit("DATA " name, "the rows of " shown " (" $5 ")", elsewhere ? "note" : "fail")
            if ($5 !~ /^(InnoDB|ROCKSDB|TokuDB|ndbcluster|BLACKHOLE|)$/ && !elsewhere)
                print "LOOSE\t" shown "\tnone"
            if ($4 == "SYSTEM VERSIONED") print "VERSIONED\t" shown "\tnone"
        }' "$lock/objects"
    rm -f "$lock/objects"
}

# An awk program: what the dump says that it has, and at which position it stands.
# shellcheck disable=SC2016 # awk's
in_dump='
    {
        name = substr($0, index($0, "`"))
        if (/^-- Table structure for table `/) print "TABLE " name
        else if (/^-- Dumping data for table `/) print "DATA " name
        else if (/^-- Sequence structure for `/) print "SEQUENCE " name
        else if (/^-- Sequence structure for table `/) print "SEQUENCE " name
        else if (/^-- Final view structure for view `/) print "VIEW " name
        else if (/^CREATE DEFINER=/ || /^\/\*!50003 CREATE\*\/ \/\*!50020 /) print "ROUTINE"
        else if (/^\/\*!50003 CREATE\*\//) print "TRIGGER"
        else if (/^\/\*!50106 CREATE\*\//) print "EVENT"
        else if (number <= 200 && /^-- CHANGE .*_LOG_FILE=/) head_says = substr($0, 4, length($0) - 4)
        else if (/^-- SET GLOBAL gtid_slave_pos=/) { end_says = substr($0, 4, length($0) - 4); end_at = number }
    }
    END {
        if (number - end_at > 40) end_says = ""
        position = head_says (head_says != "" && end_says != "" ? " " : "") end_says
        if (position != "") print "POSITION\t" position
    }'

# ---- who and where it is -----------------------------------------------------------------------

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
    else
        case $words in
            *PROCESS*) note "it was not looked where tables with a DATA DIRECTORY of their own lie: \
GRANT PROCESS ON *.* TO $account;" ;;
        esac
    fi
}
