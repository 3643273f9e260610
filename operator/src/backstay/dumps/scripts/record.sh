# shellcheck shell=sh disable=SC2034,SC2154 # the parts share their variables
# Files, JSON and records: what is known of a dump, and how an attempt fails. See common.sh.

write() { printf '%s\n' "$2" >"$1"; }

size() { # PATH: sets $bytes; fails, with 0, when there is no such file.
    bytes=0
    [ -f "$1" ] || return 1
    # It may go at any moment: another attempt may be at work.
    value=$(stat -c %s "$1" 2>/dev/null) || value=$(wc -c 2>/dev/null <"$1") || return 1
    bytes=$((value))
}

flush() { # PATH: to the disk. An old sync takes no operand: then everything is flushed.
    child sync "$1" || { ! child sync / 2>/dev/null && child sync; }
}

json_string() { # TEXT: prints it as a JSON string of ASCII characters; bytes not UTF-8 as U+FFFD.
    case $1 in
        *[!A-Za-z0-9' '._/:=@%+,-]*) ;;
        *) # most paths and names: no process is needed
            printf '"%s"' "$1"
            return
            ;;
    esac
    text=$(printf '%s' "$1" | od -An -v -tu1 | awk '
        { for (i = 1; i <= NF; i++) b[n++] = $i + 0 }
        END {
            printf "\""
            for (i = 0; i < n; i++) {
                c = b[i]
                if (c == 34 || c == 92) { printf "\\%c", c; continue }
                if (c >= 32 && c < 127) { printf "%c", c; continue }
                if (c < 128) { printf "\\u%04x", c; continue }
                more = c < 194 ? -1 : c < 224 ? 1 : c < 240 ? 2 : c < 245 ? 3 : -1
                code = more == 1 ? c - 192 : more == 2 ? c - 224 : c - 240
                for (k = 1; k <= more; k++) {
                    if (i + k >= n || b[i + k] < 128 || b[i + k] > 191) { more = -1; break }
                    code = code * 64 + b[i + k] - 128
                }
                if (more == 2 && (code < 2048 || (code >= 55296 && code < 57344))) more = -1
                if (more == 3 && (code < 65536 || code > 1114111)) more = -1
                if (more < 0) { printf "\\ufffd"; continue }
                i += more
                if (code < 65536) { printf "\\u%04x", code; continue }
                code -= 65536
                printf "\\u%04x\\u%04x", 55296 + int(code / 1024), 56320 + code % 1024
            }
            printf "\""
        }' 2>/dev/null)
    printf '%s' "${text:-\"(no words: the container lacks od or awk)\"}"
}

note() { # TEXT: the dump is good, but who restores it has to know this. In the main shell only.
    # So that a status can hold them: 16 at most, of 500 bytes.
    [ "$note_count" -lt 16 ] || return 0
    note_count=$((note_count + 1))
    text=$(printf '%s' "$1" | head -c 500 | tr -s '[:cntrl:]' ' ')
    notes="$notes,$(json_string "${text% }")"
}

note_warnings() { # A note for each line with a warning of what the last try said.
    left=$words
    while [ -n "$left" ]; do
        line=${left%%"$newline"*}
        case $left in
            *"$newline"*) left=${left#*"$newline"} ;;
            *) left='' ;;
        esac
        case $line in
            *assword*) ;; # how it was handed over
            *[Ww]arning:* | *"[Warning]"* | *WARNING:*) note "$line" ;;
        esac
    done
}

parse() { # PATH: reads a record of ours into $line, $r_run and $r_attempt.
    line='' r_run='' r_attempt=0
    { read -r line <"$1"; } 2>/dev/null
    case $line in '{"run":"'*'","attempt":'[0-9]*'}') ;; *) return 1 ;; esac
    field run && r_run=$value
    field attempt && r_attempt=$value
}

field() { # NAME: sets $value from $line. Our fields precede any free text in a record.
    value=${line#*"\"$1\":"}
    value=${value%%[,\}]*}
    value=${value#\"}
    value=${value%\"}
}

effective() { # Reads the record of FILE: sets $done_run, $done_attempt, $done_line if FILE fits it.
    done_run='' done_attempt=0 done_line=''
    for record in "$file.json.next" "$file.json"; do
        [ "$record" = "$file.json" ] || [ ! -e "$file.partial" ] || continue
        if parse "$record" && size "$file" && field bytes && [ "$value" = "$bytes" ]; then
            done_run=$r_run done_attempt=$r_attempt done_line=$line
            return
        fi
    done
}

fail() { # EXIT TEXT: ends the attempt with a failure on record. Not for subshells.
    code=$1
    dismiss_guard
    dismiss_digest
    # While FILE.partial is there FILE is the old one. Away with it first: the disk may be full.
    if [ -e "$file.partial" ]; then rm -f "$file.json.next" "$file.partial"; fi
    text=$(printf '%s' "$2" | tail -c 1024 | tr -s '[:cntrl:]' ' ')
    message=$(json_string "${text% }")
    failure="{\"run\":\"$run\",\"attempt\":$attempt,\"exit\":$code,\"message\":$message}"
    { write "$lock/failed" "$failure" && mv -f "$lock/failed" "$file.failed"; } 2>/dev/null
    say "{\"state\":\"failed\",${failure#?}"
    exit 0
}

refuse() { # TEXT: nothing was touched, nothing is recorded; `result` says the same.
    say "{\"state\":\"failed\",\"exit\":2,\"message\":$(json_string "$1")}"
    exit 0
}
