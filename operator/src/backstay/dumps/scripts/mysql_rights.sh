# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# MySQL and MariaDB: what the server lets us see. See mysql.sh.
#
# What a user may not see is nowhere: SHOW TRIGGERS is empty without TRIGGER, and a routine exists
# only for who has a right to it. So it is the rights that are looked at, before a dump.

require_rights() { # DATABASES...
    step "$client" asked 'SHOW GRANTS'
    must mv -f "$lock/out" "$lock/grants"
    case $server_version in
        *MariaDB*) ;; # it shows those of active roles as well
        *)
            if try asked 'SELECT CURRENT_ROLE()' && read -r roles <"$lock/out" &&
                [ "$roles" != NONE ]; then
                step "$client" asked "SHOW GRANTS FOR CURRENT_USER() USING $roles"
                must mv -f "$lock/out" "$lock/grants"
            fi
            ;;
    esac
    account="'${current_user%@*}'@'${current_user##*@}'" routines='SELECT ON mysql.proc' wanted=''
    case $server_version in
        *MariaDB* | 5.*) ;;
        *) routines='SHOW_ROUTINE ON *.*' ;;
    esac
    [ $# -gt 0 ] || set -- '*'
    for database in "$@"; do
        lacks=$(database=$database account=$account routines=$routines \
            awk "$missing_rights" "$lock/grants")
        [ -z "$lacks" ] || wanted="$wanted $lacks"
    done
    rm -f "$lock/grants"
    [ -z "$wanted" ] || fail 1 "user $current_user may not see all that was asked for, and what is \
not seen would be missing without a word:$(printf '%s' "$wanted" | head -c 700)"
}

# An awk program: reads SHOW GRANTS, prints what is not granted for $database (* for all).
# shellcheck disable=SC2016 # awk's
missing_rights='
    function like(text, pattern,   c) { # % any, _ one, a backslash before either: itself
        while (pattern != "") {
            c = substr(pattern, 1, 1)
            if (c == "%") {
                for (; ; text = substr(text, 2)) {
                    if (like(text, substr(pattern, 2))) return 1
                    if (text == "") return 0
                }
            }
            if (c == "\\" && pattern != "\\") { pattern = substr(pattern, 2); c = substr(pattern, 1, 1) }
            else if (c == "_" && text != "") c = substr(text, 1, 1)
            if (substr(text, 1, 1) != c || text == "") return 0
            text = substr(text, 2); pattern = substr(pattern, 2)
        }
        return text == ""
    }
    function unquoted(text,   name, i) { # `a``b`.REST: returns the name, sets rest
        for (i = 2; i <= length(text); i++) {
            if (substr(text, i, 1) == "`") {
                if (substr(text, i + 1, 1) != "`") break
                i++
            }
            name = name substr(text, i, 1)
        }
        rest = substr(text, i + 1)
        return name
    }
    function has(list, right) {
        return index(list, ",ALL PRIVILEGES,") || index(list, "," right ",")
    }
    function granted(right) {
        return (has(global, right) && !has(revoked, right)) || has(here, right)
    }
    function need(right) { if (!granted(right)) lacks = lacks (lacks == "" ? "" : ", ") right }
    BEGIN { database = ENVIRON["database"]; global = here = revoked = proc = "," }
    /^(GRANT|REVOKE) .* ON / {
        at = index($0, " ON "); object = substr($0, at + 4)
        list = substr($0, index($0, " ") + 1, at - index($0, " ") - 1)
        gsub(/, */, ",", list)
        list = list ","
        if (substr(object, 1, 4) == "*.* ") { global = global list; next }
        if (substr(object, 1, 1) != "`") next
        name = unquoted(object)
        if (name == "mysql" && (substr(rest, 1, 3) == ".* " || substr(rest, 1, 8) == ".`proc` ")) \
            proc = proc list
        if (substr(rest, 1, 3) != ".* ") next
        if (/^REVOKE/ && (database == "*" || name == database)) revoked = revoked list
        else if (!/^REVOKE/ && database != "*" && like(database, name)) here = here list
    }
    END {
        need("SELECT"); need("SHOW VIEW"); need("TRIGGER"); need("EVENT")
        shown = database
        gsub(/`/, "``", shown)
        shown = database == "*" ? "*.*" : "`" shown "`.*"
        if (lacks != "") text = "GRANT " lacks " ON " shown " TO " ENVIRON["account"] ";"
        # With a right to execute or alter, it is listed; a body that is hidden makes the tool fail.
        if (!(has(global, "SELECT") || has(global, "SHOW_ROUTINE") || has(proc, "SELECT") ||
            granted("SHOW CREATE ROUTINE") || granted("EXECUTE") || granted("ALTER ROUTINE") ||
            granted("CREATE ROUTINE")))
            text = text (text == "" ? "" : " ") "GRANT " ENVIRON["routines"] " TO " \
                ENVIRON["account"] ";"
        print text
    }'
