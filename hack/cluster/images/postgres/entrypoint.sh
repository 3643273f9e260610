#!/bin/sh
# Makes a database cluster in an empty PGDATA, then becomes postgres, so that postgres is
# process 1. Reads POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and PGPORT.
set -eu

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

initialise() {
    # A container killed here must not leave half a cluster under the final name.
    partial="$PGDATA.partial"
    rm -rf "$partial"
    if [ -n "${POSTGRES_PASSWORD:-}" ]; then
        secret=$(mktemp)
        printf '%s\n' "$POSTGRES_PASSWORD" >"$secret"
        initdb --pgdata="$partial" --username="$user" --encoding=UTF8 \
            --auth-local=trust --auth-host=scram-sha-256 --pwfile="$secret"
        rm -f "$secret"
    else
        initdb --pgdata="$partial" --username="$user" --encoding=UTF8 --auth=trust
    fi
    if [ "$database" != postgres ]; then
        printf 'CREATE DATABASE :"name";\n' >"$partial.sql"
        pg_ctl --pgdata="$partial" --wait start \
            --options="-c listen_addresses='' -c unix_socket_directories=/tmp"
        psql --host=/tmp --username="$user" --dbname=postgres --no-psqlrc \
            --set=ON_ERROR_STOP=1 --set=name="$database" --file="$partial.sql"
        pg_ctl --pgdata="$partial" --wait --mode=fast stop
        rm -f "$partial.sql"
    fi
    sync
    mv "$partial" "$PGDATA"
}

[ "${1:-}" = postgres ] || exec "$@"
[ -s "$PGDATA/PG_VERSION" ] || initialise
shift
# Loopback only: with hostNetwork every other address would be the machine's own. Arguments
# of the pod come last and win; PGPORT is read by postgres itself.
exec postgres -D "$PGDATA" -c listen_addresses=127.0.0.1 "$@"
