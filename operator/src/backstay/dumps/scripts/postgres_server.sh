# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# PostgreSQL: what the server lets us read, what it has, and where. See postgres.sh.
#
# pg_dump reads the catalogue as we do, and fails where it may not read rows. What it leaves out by
# design, and says at most in a warning, is a note.

asked() { # SQL
    connected psql -XAtq -F "$tab" -v ON_ERROR_STOP=1 -c "$1" </dev/null
}

look_at_databases() { # DATABASES...: what they have; ends the attempt if we may not read it.
    rm -f "$lock/before"
    [ $# -gt 0 ] || return 0
    command -v psql >/dev/null 2>&1 || {
        note 'the container has no psql: what is in the dump was not compared with the server'
        return 0
    }
    for database in "$@"; do
        escape "$database" ''
        printf '%s\n' "$escaped" | awk '{ printf "%s%s", parted, $0; parted = "\\n" } END { print "" }'
    done >"$lock/names" # a line is a name, as printf's %b reads it
    asks=psql
    if try catalogue; then
        must mv -f "$lock/out" "$lock/before"
        require_rights
        note_omissions
    else
        # pg_dump will say it if it is anything that concerns the dump.
        note "what is in the dump was not compared with the server: $words"
    fi
}

require_rights() {
    wanted=''
    role=$(sed -n "s/^ROLE$tab\([^$tab]*\).*/\1/p" "$lock/before" | head -n 1)
    ! listed DENIED || wanted="$wanted It may not read $found: GRANT pg_read_all_data TO $role; (before \
PostgreSQL 14: USAGE on schemas, SELECT on tables and sequences)."
    ! listed FILTERED || wanted="$wanted Row security hides rows of $found: ALTER ROLE $role BYPASSRLS;"
    ! listed LARGE_DENIED || wanted="$wanted It may not read $found: GRANT SELECT ON LARGE OBJECT \
NUMBER TO $role;"
    if [ "$set_globals" != omit ] && listed NO_GLOBALS; then
        wanted="$wanted It may not read roles and their passwords: GRANT pg_read_all_data TO $role; \
or globals: omit."
    fi
    [ -z "$wanted" ] || fail 1 "role $role may not read all that was asked for.$wanted"
}

note_omissions() {
    ! listed UNLOGGED || note "a standby has no rows of unlogged tables, nor has the dump: $found"
    ! listed BEHIND || note "the standby does not follow its primary; its last transaction is of $found"
    ! listed FOREIGN || note "the rows of foreign tables are not in the dump: $found"
    ! listed MEMBER || note "rows of tables that belong to extensions are not in the dump: $found"
    ! listed MAPPING || note "not in the dump, as role $role may not see them: options of $found"
    if [ "$everything" = yes ] && listed CLOSED; then
        note "databases that accept no connections are not in the dump: $found"
    fi
}

catalogue() { # What the databases of $lock/names have; contents.sh says how.
    # An archive has numbers, SQL has names.
    ident="translate(n.nspname || '.' || c.relname, E'\\n\\r\\t', '   ')"
    [ "$format" != custom ] || ident='c.oid::text'
    while read -r line; do
        name=$(printf '%b.' "$line")
        connect_to "${name%.}"
        asked "SET lock_timeout = 60000; $(has_relations) $(has_others)" || return
    done <"$lock/names"
}

has_relations() { # SQL of tables, views and sequences of ours: not the server's nor an extension's.
    shown="translate(n.nspname || '.' || c.relname, E'\\n\\r\\t', '   ')"
    [ $(($(wc -l <"$lock/names"))) -eq 1 ] || shown="current_database() || '.' || $shown"
    printf '%s' "WITH rel AS (
        SELECT c.oid, c.relnamespace, c.relkind, c.relpersistence, $ident AS ident, $shown AS shown,
            EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'
                AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass) AS member
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
    ours AS (SELECT * FROM rel WHERE NOT member),
    plain AS (SELECT * FROM ours WHERE relkind IN ('r', 'p', 'S'))
    SELECT 'ROLE', pg_catalog.quote_ident(current_user), 'none'
    UNION ALL SELECT 'REL ' || ident, shown, 'fail' FROM ours
    UNION ALL SELECT 'DATA ' || ident, 'the rows of ' || shown, 'fail' FROM ours
        WHERE relkind = 'r' AND NOT (relpersistence = 'u' AND pg_catalog.pg_is_in_recovery())
    UNION ALL SELECT 'UNLOGGED', shown, 'none' FROM ours
        WHERE relkind = 'r' AND relpersistence = 'u' AND pg_catalog.pg_is_in_recovery()
    UNION ALL SELECT 'FOREIGN', shown, 'none' FROM ours WHERE relkind = 'f'
    UNION ALL SELECT 'MEMBER', shown, 'none' FROM rel WHERE member AND relkind = 'r'
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_extension e WHERE rel.oid = ANY (e.extconfig))
        AND pg_catalog.pg_relation_size(oid) > 0
    UNION ALL SELECT 'DENIED', shown, 'none' FROM plain
        WHERE NOT pg_catalog.has_schema_privilege(relnamespace, 'USAGE')
        OR NOT pg_catalog.has_table_privilege(oid, 'SELECT')
    UNION ALL SELECT 'FILTERED', shown, 'none' FROM plain
        WHERE relkind <> 'S' AND pg_catalog.row_security_active(oid)"
}

has_others() { # SQL of all else that can be counted, and of what we may not see of it.
    printf '%s' "UNION ALL SELECT 'ROUTINE', 'a routine of schema ' || n.nspname, 'note'
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = p.oid
            AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype IN ('e', 'i'))
    UNION ALL SELECT 'TRIGGER', 'a trigger of ' || shown, 'note'
        FROM pg_catalog.pg_trigger t JOIN ours ON ours.oid = t.tgrelid WHERE NOT t.tgisinternal
        AND coalesce(pg_catalog.to_jsonb(t) ->> 'tgparentid', '0') = '0'
    UNION ALL SELECT 'SUBSCRIPTION', 'subscription ' || s.subname, 'note'
        FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database b ON b.oid = s.subdbid
        WHERE b.datname = current_database()
    UNION ALL SELECT 'MAPPING', 'user mapping of ' || usename || ' for ' || srvname, 'none'
        FROM pg_catalog.pg_user_mappings WHERE umoptions IS NULL
        AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
    UNION ALL SELECT 'CLOSED', datname, 'none' FROM pg_catalog.pg_database
        WHERE (NOT datallowconn OR datconnlimit = -2) AND datname <> 'template0'
    UNION ALL SELECT 'BEHIND', coalesce(
            pg_catalog.pg_last_xact_replay_timestamp()::text, 'before its start'), 'none'
        WHERE pg_catalog.pg_is_in_recovery() AND (pg_catalog.pg_is_wal_replay_paused()
            OR NOT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_wal_receiver))
    UNION ALL SELECT 'NO_GLOBALS', '', 'none'
        WHERE NOT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')
    UNION ALL (SELECT 'LARGE', 'the large objects', 'fail' FROM pg_catalog.pg_largeobject_metadata
        LIMIT 1)
    UNION ALL SELECT 'LARGE_DENIED', 'large object ' || l.oid, 'none'
        FROM pg_catalog.pg_largeobject_metadata l
        WHERE NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
        AND current_setting('server_version_num')::int < 180000
        AND current_setting('lo_compat_privileges') = 'off'
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.aclexplode(
            coalesce(l.lomacl, pg_catalog.acldefault('L', l.lomowner))) a
            WHERE a.privilege_type = 'SELECT'
            AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE')))"
}

# Awk programs: what the dump says that it has. An archive's list: NUMBER; CLASS OBJECT WORDS...
# shellcheck disable=SC2016 # awk's
in_archive='
    /^;/ { next }
    $2 == 1259 { print "REL " $3 }
    $2 == 1255 { print "ROUTINE" }
    $2 == 2620 { print "TRIGGER" }
    $2 == 6100 && $4 == "SUBSCRIPTION" { print "SUBSCRIPTION" }
    $2 == 2613 { print "LARGE" }
    $4 == "TABLE" && $5 == "DATA" { print "DATA " $3 }'
# shellcheck disable=SC2016 # awk's
in_sql='
    function upto(mark,   at, found) { # Ends line at the last such mark, returns what is behind it.
        for (at = 1; (found = index(substr(line, at), mark)); at += found) last = at + found - 1
        found = substr(line, last + length(mark))
        line = substr(line, 1, last - 1)
        return found
    }
    /^-- (Data for )?Name: .*; Type: / {
        line = $0
        gsub(/\t/, " ", line)
        upto("; Owner: ")
        name = upto("; Schema: ")
        type = upto("; Type: ")
        name = name "." substr(line, index(line, "Name: ") + 6)
        if (type ~ /^(TABLE|FOREIGN TABLE|VIEW|MATERIALIZED VIEW|SEQUENCE)$/) print "REL " name
        else if (type == "TABLE DATA") print "DATA " name
        else if (type ~ /^(FUNCTION|PROCEDURE|AGGREGATE)$/) print "ROUTINE"
        else if (type ~ /^(TRIGGER|SUBSCRIPTION)$/) print type
        else if (type ~ /^BLOB/) print "LARGE"
    }
    /^-- Dumped from database version / && !version {
        version = substr($0, 33)
        print "VERSION\t" version
    }'
