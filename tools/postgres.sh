#!/usr/bin/env bash
# A PostgreSQL 15 from Debian's package for the tests, on loopback, on a free port, with its data in a folder
# that goes when it stops.   tools/postgres.sh start|stop [folder]
# `start` prints TEST_DATABASE_URL=…; started twice, it prints the one that runs.
set -euo pipefail

dir=${2:-/tmp/nanobanana-postgres}
bin=/usr/lib/postgresql/15/bin

# PostgreSQL refuses to run as root.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then (cd / && exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"); else "$@"; fi
}
running() { [ -f "$dir/port" ] && as_postgres "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1; }
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() {
  if [ ! -x "$bin/pg_ctl" ]; then
    echo 'PostgreSQL 15 is missing: apt-get install -y --no-install-recommends postgresql-15' >&2
    return 1
  fi
  if ! running; then
    rm -rf "$dir"
    if [ "$(id -u)" = 0 ]; then install -d -m 700 -o postgres -g postgres "$dir"; else install -d -m 700 "$dir"; fi
    local port
    port=$(free_port)
    as_postgres "$bin/initdb" -D "$dir/data" -A trust -U postgres -E UTF8 --locale=C.UTF-8 >/dev/null
    # The data is thrown away, so nothing is gained by waiting for the disk.
    as_postgres "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w start >/dev/null \
      -o "-p $port -k $dir -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200" ||
      { cat "$dir/log" >&2; return 1; }
    echo "$port" >"$dir/port"
  fi
  echo "TEST_DATABASE_URL=postgres://postgres@127.0.0.1:$(cat "$dir/port")/postgres"
}

stop() {
  if running; then as_postgres "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null; fi
  rm -rf "$dir"
}

case ${1:-} in
  start | stop) "$1" ;;
  *) echo "usage: $0 start|stop [folder]" >&2; exit 2 ;;
esac
