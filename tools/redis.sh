#!/usr/bin/env bash
# A Redis 7 from Debian's package for the tests, on loopback, on a free port, with nothing on the disk.
#   tools/redis.sh start|stop [folder]
# `start` prints TEST_REDIS_URL=…; started twice, it prints the one that runs.
set -euo pipefail

dir=${2:-/tmp/nanobanana-redis}

# `/proc` tells whether a recorded pid is still the process we started; a server renames itself to its address.
running() {
  [ -f "$dir/port" ] && [ -f "$dir/pid" ] &&
    grep -qaF "redis-server 127.0.0.1:$(cat "$dir/port")" "/proc/$(cat "$dir/pid")/cmdline" 2>/dev/null
}
answers() { [ "$(redis-cli -h 127.0.0.1 -p "$1" ping 2>/dev/null)" = PONG ]; }
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() {
  if ! command -v redis-server >/dev/null; then
    echo 'Redis is missing: apt-get install -y --no-install-recommends redis-server' >&2
    return 1
  fi
  if ! running; then
    rm -rf "$dir"
    install -d -m 700 "$dir"
    local port
    port=$(free_port)
    setsid redis-server --bind 127.0.0.1 --port "$port" --dir "$dir" --save '' --appendonly no \
      >"$dir/log" 2>&1 </dev/null &
    echo "$!" >"$dir/pid"
    for _ in $(seq 100); do
      if answers "$port"; then break; fi
      sleep 0.1
    done
    answers "$port" || { cat "$dir/log" >&2; return 1; }
    echo "$port" >"$dir/port"
  fi
  echo "TEST_REDIS_URL=redis://127.0.0.1:$(cat "$dir/port")"
}

stop() {
  if running; then
    local pid
    pid=$(cat "$dir/pid")
    kill -TERM "$pid"
    for _ in $(seq 100); do
      if ! running; then break; fi
      sleep 0.1
    done
    if running; then kill -KILL "$pid"; fi
  fi
  rm -rf "$dir"
}

case ${1:-} in
  start | stop) "$1" ;;
  *) echo "usage: $0 start|stop [folder]" >&2; exit 2 ;;
esac
