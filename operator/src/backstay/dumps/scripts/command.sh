# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# Any command: what it prints is the dump, or it writes the file that BACKSTAY_FILE names. See
# common.sh for what an engine provides.
#
# Settings: output (stdout, file); compress is for stdout only. ARGS are the program and its arguments.

engine='command'
engine_tools=''
engine_probe=''

engine_check() { # PROGRAM ARGUMENTS...
    [ $# -gt 0 ] && [ -n "$1" ] || refuse 'there is no program to run'
    case $set_output:$set_compress in
        stdout:yes | stdout:no | file:no) ;;
        *) refuse 'output is stdout or file; compress is for stdout only' ;;
    esac
}

engine_dump() { # PROGRAM ARGUMENTS...
    format='file'
    BACKSTAY_FILE=$file.partial
    export BACKSTAY_FILE
    case $set_output:$set_compress in
        stdout:yes) step "$1" squeezed child "$@" ;;
        stdout:no) step "$1" printed "$@" ;;
        file:no) step "$1" child "$@" ;;
    esac
}

printed() { child "$@" >"$file.partial"; }

engine_verify() { # Nothing is known of it but its exit status.
    server_version='' tool_version=''
}
