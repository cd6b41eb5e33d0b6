#!/usr/bin/env bash
# OpenStack Swift with its S3 API from Debian's packages for the tests, on loopback: it checks every signature
# and keeps buckets private, which the S3 servers of the npm registry do not.   tools/swift.sh start|stop [folder]
# `start` prints TEST_S3_ENDPOINT, _BUCKET, _ACCESS_KEY_ID and _SECRET_ACCESS_KEY; started twice, those that run.
# shellcheck disable=SC2086  # lists of words, split on purpose
set -euo pipefail

dir=${2:-/tmp/nanobanana-swift}
root=$(cd "$(dirname "$0")/.." && pwd)
servers='account container object'
packages='swift-proxy swift-account swift-container swift-object memcached'

# `/proc` tells whether a recorded pid is still the process we started.
ours() { [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF -- "$2"; }
running() {
  [ -f "$dir/variables" ] || return 1
  while read -r pid mark; do ours "$pid" "$mark" || return 1; done <"$dir/pids"
}
installed() {
  local name
  for name in memcached swift-ring-builder swift-proxy-server $(printf 'swift-%s-server ' $servers); do
    command -v "$name" >/dev/null || return 1
  done
}
# All at once, so that no two are the same.
free_ports() {
  python3 -c 'import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in held: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in held))' "$1"
}
# launch NAME MARK COMMAND…: in the background; the mark is what its command line is known by.
launch() {
  local name=$1 mark=$2
  shift 2
  PATH=/usr/bin:/bin setsid "$@" >"$dir/$name.log" 2>&1 </dev/null &
  echo "$! $mark" >>"$dir/pids"
}

configure() {
  local proxy=$1 cache=$2 account=$3 container=$4 object=$5 name port common
  common="bind_ip = 127.0.0.1
swift_dir = $dir/etc
user = $(id -un)
workers = 0"
  for name in $servers; do
    port=${!name}
    printf '%s\n' '[DEFAULT]' "$common" "bind_port = $port" "devices = $dir/node" 'mount_check = false' \
      'disable_fallocate = true' '[pipeline:main]' "pipeline = $name-server" \
      "[app:$name-server]" "use = egg:swift#$name" >"$dir/etc/$name-server.conf"
    swift-ring-builder "$dir/etc/$name.builder" create 4 1 1 >/dev/null
    swift-ring-builder "$dir/etc/$name.builder" add "r1z1-127.0.0.1:$port/d1" 1 >/dev/null
    swift-ring-builder "$dir/etc/$name.builder" rebalance >/dev/null
  done
  cat >"$dir/etc/proxy-server.conf" <<CONF
[DEFAULT]
$common
bind_port = $proxy
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats s3api tempauth copy bulk slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:s3api]
use = egg:swift#s3api
location = auto
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testsecret .admin
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$cache
$(for name in catch_errors gatekeeper listing_formats copy bulk slo dlo; do
    printf '[filter:%s]\nuse = egg:swift#%s\n' "$name" "$name"
  done)
CONF
}

start() {
  if ! installed; then
    echo "Swift is missing: apt-get install -y --no-install-recommends $packages" >&2
    return 1
  fi
  if ! running; then
    stop
    mkdir -p "$dir/etc" "$dir/node/d1"
    local proxy cache account container object name
    read -r proxy cache account container object < <(free_ports 5)
    configure "$proxy" "$cache" "$account" "$container" "$object"
    launch memcached "127.0.0.1 -p $cache" memcached -u "$(id -un)" -l 127.0.0.1 -p "$cache" -m 16
    for name in $servers proxy; do
      # Debian's python, whatever another python is first on the caller's PATH.
      launch "$name" "$dir/etc/$name-server.conf" \
        /usr/bin/python3 "/usr/bin/swift-$name-server" "$dir/etc/$name-server.conf"
    done
    local variables="TEST_S3_ENDPOINT=http://127.0.0.1:$proxy
TEST_S3_BUCKET=nanobanana-test
TEST_S3_ACCESS_KEY_ID=test:tester
TEST_S3_SECRET_ACCESS_KEY=testsecret"
    if ! env $variables "$root/node_modules/.bin/node" "$root/tools/swift-bucket.js" >&2; then
      tail -n 20 "$dir"/*.log >&2
      stop
      return 1
    fi
    echo "$variables" >"$dir/variables"
  fi
  cat "$dir/variables"
}

stop() {
  local pid mark
  if [ -f "$dir/pids" ]; then
    while read -r pid mark; do
      ours "$pid" "$mark" || continue
      kill "$pid" 2>/dev/null || true
      # A server that is still writing would put its folder back.
      for _ in $(seq 50); do ours "$pid" "$mark" || continue 2; sleep 0.1; done
      kill -KILL "$pid" 2>/dev/null || true
    done <"$dir/pids"
  fi
  rm -rf "$dir"
}

case ${1:-} in
  start | stop) "$1" ;;
  *) echo "usage: $0 start|stop [folder]" >&2; exit 2 ;;
esac
