# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# What is in a dump, against what the server has. See common.sh.
#
# Both are lists with one object a line: a key, which the dump shows as well, and, parted by tabs,
# words for it and what happens to the dump if it is missing: `fail` or `note` (a line with `none`
# is no object, but a fact about the server). Where a dump shows no name the key is the kind
# alone, and the numbers are compared.
#
# Invariant: an object counts as missing only if the server had it before the dump and has it after
# it. What came or went in the meantime is nobody's mistake. The second look is taken only where the
# first says that something is missing, so a good dump pays for one.
#
# An engine provides `catalogue`, which prints the server's list, and calls
#   look_at_server    before the dump
#   read_back MORE PROGRAM TEXT    after it: an awk program that prints the dump's list
#   compare_contents  last; what is missing ends the attempt, or is a note

tab='	'

look_at_server() { # NAME OF THE CLIENT
    asks=$1
    step "$asks" catalogue
    must mv -f "$lock/out" "$lock/before"
}

read_back() { # MORE, AWK PROGRAM, TEXT: near the end of FILE.partial a line must begin with TEXT.
    # A line that begins so may also be in a view or a function: only the end counts. The program
    # gets comments (`-- `) and the lines that match MORE, which begins with `|`; and their number.
    reader='cat'
    [ "$compression" = none ] || reader="$compression -dc"
    step "$reader" printed_contents "$1" "$before_all $2 $at_the_end" "$3"
    grep -q '^ended$' "$lock/out" || fail 1 "the dump does not end with \"$3\""
    must mv -f "$lock/out" "$lock/found"
}

printed_contents() { # MORE, AWK PROGRAM, TEXT
    if expand "$file.partial"; then printf '\n%s\n' "$whole"; else printf '\n%s\n' "$unreadable"; fi |
        numbered "^(-- $1)" |
        child awk -v "trailer=$3" -v "whole=$whole" -v "unreadable=$unreadable" "$2"
}

numbered() { # PATTERN: prints the lines that match, each after its number and a colon.
    # mawk takes minutes for very long rows, and busybox's grep is slower than its awk.
    if grep --version >/dev/null 2>&1; then
        child grep -anE "$1"
    else
        child awk "/$1/ { print NR \":\" \$0 }"
    fi
}

whole='-- the dump was read to its end'
unreadable='-- the dump cannot be decompressed'
# shellcheck disable=SC2016 # awk's
before_all='{ at = index($0, ":"); number = substr($0, 1, at - 1) + 0; $0 = substr($0, at + 1) }'
# shellcheck disable=SC2016 # awk's
at_the_end='
    index($0, trailer) == 1 { trailer_at = number }
    END {
        if ($0 == unreadable) { print substr(unreadable, 4) | "cat >&2"; exit 1 }
        if ($0 == whole && trailer_at && number - trailer_at < 16) print "ended"
    }'

compare_contents() {
    lacking_lines "$lock/before"
    if [ -s "$lock/lacking" ]; then
        step "$asks" catalogue
        # shellcheck disable=SC2016 # awk's
        awk 'FILENAME == ARGV[1] { n[$0]++; next } n[$0]-- > 0' "$lock/out" "$lock/before" \
            >"$lock/both" || fail 1 "awk failed over the server's lists"
        lacking_lines "$lock/both"
        report_lacking note
        [ -z "$lacks" ] || note "not in the dump: $lacks"
        report_lacking fail
        [ -z "$lacks" ] || fail 1 "the database has what the dump lacks: $lacks"
    fi
    rm -f "$lock/before" "$lock/both" "$lock/lacking" "$lock/found"
}

lacking_lines() { # LIST: makes $lock/lacking, its lines that the dump's list has fewer of.
    # shellcheck disable=SC2016 # awk's
    awk -F '\t' '
        FILENAME == ARGV[1] { n[$1]++; next }
        $3 != "none" && n[$1]-- <= 0' \
        "$lock/found" "$1" >"$lock/lacking" || fail 1 "awk failed over the dump's list"
}

report_lacking() { # SEVERITY: sets $lacks, how many such lines there are and the first of them.
    # shellcheck disable=SC2016 # awk's
    lacks=$(awk -F '\t' -v "severity=$1" "$adding"'
        $3 == severity { add($2) }
        END { print names }' "$lock/lacking") || fail 1 'awk failed over what the dump lacks'
}

# An awk function: collects what a message can hold.
# shellcheck disable=SC2016 # awk's
adding='
    function add(name) {
        count++
        if (count > 5) { names = kept " and " (count - 5) " more"; return }
        kept = names = names (count > 1 ? ", " : "") name
    }'

listed() { # KEY: sets $found, how many lines of the server's list have it, and the first of them.
    # shellcheck disable=SC2016 # awk's
    found=$(awk -F '\t' -v "key=$1" "$adding"'
        $1 == key && !seen[$2]++ { add($2) }
        END { if (count) print count " (" names ")" }' "${2:-$lock/before}") ||
        fail 1 "awk failed over the server's list"
    [ -n "$found" ]
}
