# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# Where a directory really lies: behind symbolic links, on which mount, in which file system. See
# common.sh.
#
# What a path says is not where the kernel goes: a link may lead off the volume, a mount may lie over
# a part of it, and a btrfs subvolume or NFS export below a mount is in no snapshot of what is above.
# The operator knows the container's mounts by the paths of the pod's spec, which links of the image
# may lead elsewhere: so those are followed here as well.

real() { # DIRECTORY: sets $real, its path without symbolic links; fails if it cannot be entered.
    real=$(cd -P "$1" 2>/dev/null && pwd -P && printf .) || {
        real=''
        return 1
    }
    real=${real%"$newline".}
}

mount_of() { # REAL PATH: sets $mount, the mount that it lies on: the longest, of equals the last.
    mount=''
    while read -r mount_id mount_parent mount_device mount_root point rest; do
        case $point in
            *\\*) # spaces and the like are octal there
                point=$(printf '%s' "$point" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')
                point=$(printf '%b.' "$point")
                point=${point%.}
                ;;
        esac
        case ${1%/}/ in
            "${point%/}"/*) [ "${#point}" -lt "${#mount}" ] || mount=$point ;;
        esac
    done </proc/self/mountinfo
}

lies() { # DIRECTORY: prints where it lies, as JSON; without the fields where that is not known.
    real "$1" || {
        printf '{}'
        return
    }
    mount_of "$real"
    apart=false
    [ "$(stat -c %d "$real" 2>&1)" = "$(stat -c %d "$mount" 2>&1)" ] || apart=true
    printf '{"real":%s,"mount":%s,"apart":%s}' \
        "$(json_string "$real")" "$(json_string "$mount")" "$apart"
}

holds() { # NAME DIRECTORY: the server keeps data there: adds it to $data.
    data="$data,{\"name\":$(json_string "$1"),\"path\":$(json_string "$2"),\"at\":$(lies "$2")}"
}

holds_links() { # DIRECTORY: and in the directories that links in it lead to.
    for entry in "$1"/*; do
        if [ -L "$entry" ] && [ -d "$entry" ]; then holds "${entry##*/}" "$entry"; fi
    done
}

whereabouts() { # MOUNT PATHS...: prints where FILE lies, and where each of these really is.
    printf '"at":%s,"mounts":[' "$(lies "$directory")"
    comma=''
    for path in "$@"; do
        real "$path" || real=''
        printf '%s%s' "$comma" "$(json_string "$real")"
        comma=,
    done
    printf ']'
}
