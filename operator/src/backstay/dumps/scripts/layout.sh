# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# What databases keep in a container's volumes, as their files say: for a run without a dump that
# would ask them. Reads directories only, two levels deep; says nothing of what it cannot read.
#
# Arguments: the paths of the container's mounts. Prints {"data":[...],"mounts":[...]}.

LC_ALL=C
export LC_ALL

layout() { # DIRECTORY: adds to $data what a database keeps there.
    if [ -f "$1/PG_VERSION" ] && [ -f "$1/global/pg_control" ]; then
        holds data_directory "$1"
        holds pg_wal "$1/pg_wal"
        for space in "$1"/pg_tblspc/*; do
            [ ! -L "$space" ] || holds tablespace "$space"
        done
    elif [ -f "$1/ibdata1" ] || [ -f "$1/mysql.ibd" ]; then
        holds datadir "$1"
        for link in "$1"/*/*.isl; do
            value=''
            { read -r value <"$link"; } 2>/dev/null
            if [ -n "$value" ]; then holds "${link##*/}" "${value%/*}"; fi
        done
    elif [ -f "$1/WiredTiger" ]; then
        holds dbPath "$1"
    else
        return 0
    fi
    holds_links "$1"
}

main() {
    data=''
    for path in "$@"; do
        layout "$path"
        count=0
        for one in "$path"/*/; do count=$((count + 1)); done
        for one in "$path"/*/; do
            layout "${one%/}"
            # A folder of very many is no database's.
            [ "$count" -le 64 ] || continue
            for two in "$one"*/; do layout "${two%/}"; done
        done
    done
    printf '{"data":[%s],"mounts":[' "${data#,}"
    comma=''
    for path in "$@"; do
        real "$path" || real=''
        printf '%s%s' "$comma" "$(json_string "$real")"
        comma=,
    done
    printf ']}\n'
}
