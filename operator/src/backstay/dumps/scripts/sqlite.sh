# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# SQLite: a copy of one database by VACUUM INTO, itself a database. See common.sh for what an engine
# provides.
#
# Settings: database, an absolute path. It is only read; writers go on in WAL mode, and wait
# otherwise.

engine=sqlite
engine_tools=sqlite3
engine_probe=sqlite3

engine_check() {
    [ $# -eq 0 ] || refuse 'the database is a setting, there are no arguments'
    case $set_database in
        /*) ;;
        *) refuse 'database must be an absolute path' ;;
    esac
}

queried() { # DATABASE SQL
    # A missing database would be made.
    child sqlite3 -batch -bail -readonly -init /dev/null -cmd '.timeout 60000' "$1" "$2"
}

catalogue() { # What has a name in the database, and the two numbers that applications set.
    queried "${1:-$set_database}" "SELECT hex(type || ' ' || name) || char(9) || type || ' ' ||
        replace(replace(name, char(9), ' '), char(10), ' ') || char(9) || 'fail'
        FROM sqlite_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'
        UNION ALL SELECT 'user_version ' || user_version || char(9) || 'user_version ' ||
        user_version || char(9) || 'fail' FROM pragma_user_version
        UNION ALL SELECT 'application_id ' || application_id || char(9) || 'application_id ' ||
        application_id || char(9) || 'fail' FROM pragma_application_id"
}

engine_dump() {
    format=sqlite compression=none
    [ -f "$set_database" ] || fail 1 "there is no database $set_database"
    tool_version=$(sqlite3 --version) || tool_version=
    tool_version=${tool_version%% *} server_version=${tool_version%% *}
    look_at_server sqlite3
    quoted='' tail=$file.partial
    while :; do
        case $tail in *\'*) ;; *) break ;; esac
        quoted=$quoted${tail%%\'*}\'\'
        tail=${tail#*\'}
    done
    step sqlite3 queried "$set_database" "VACUUM INTO '$quoted$tail'"
}

engine_verify() {
    step sqlite3 queried "$file.partial" 'PRAGMA integrity_check'
    [ "$(cat "$lock/out")" = ok ] || fail 1 "integrity_check of the dump: $(head -n 3 "$lock/out")"
    step sqlite3 catalogue "$file.partial"
    must mv -f "$lock/out" "$lock/found"
    compare_contents
}
