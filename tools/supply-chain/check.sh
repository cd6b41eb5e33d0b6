#!/usr/bin/env bash
# SUP-1 against pnpm itself: with this project's settings a dependency's postinstall does not run, and a
# dependency that brings a git dependency along fails the install. Local tarballs only, no network.
# Each case has a control with the setting off, so a fixture that could never misbehave proves nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
settings=$PWD/pnpm-workspace.yaml
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
failed=0

say() {
  if [ "$1" = ok ]; then echo "ok    $2"; else echo "FAIL  $2"; failed=1; fi
}

# project NAME TARBALL: a folder with the project's settings and one local dependency.
project() {
  mkdir "$box/$1"
  cp "$settings" "$box/$1/"
  cp "$box/$2-1.0.0.tgz" "$box/$1/"
  printf '{"name":"%s","private":true,"dependencies":{"%s":"file:./%s-1.0.0.tgz"}}\n' "$1" "$2" "$2" \
    >"$box/$1/package.json"
}

install() {
  (cd "$box/$1" && MARKER="$box/$1.ran" npx -y pnpm@12 install --offline --store-dir "$box/store-$1") \
    >"$box/$1.log" 2>&1
}

# pack NAME MANIFEST
pack() {
  mkdir "$box/$1"
  echo "$2" >"$box/$1/package.json"
  (cd "$box/$1" && npm pack --silent --pack-destination "$box" >/dev/null 2>&1)
}

pack runs-scripts '{"name":"runs-scripts","version":"1.0.0","scripts":{"postinstall":"touch \"$MARKER\""}}'

mkdir "$box/from-git"
echo '{"name":"from-git","version":"1.0.0"}' >"$box/from-git/package.json"
git -C "$box/from-git" init -q
git -C "$box/from-git" add .
git -C "$box/from-git" -c user.name=fixture -c user.email=fixture@example.invalid commit -qm fixture
pack brings-git "{\"name\":\"brings-git\",\"version\":\"1.0.0\",\"dependencies\":{\"from-git\":\"git+file://$box/from-git\"}}"

project script-refused runs-scripts
if ! install script-refused && grep -q ERR_PNPM_IGNORED_BUILDS "$box/script-refused.log" &&
  [ ! -e "$box/script-refused.ran" ]; then
  say ok "a dependency's postinstall does not run, and the install says so"
else
  say bad "a dependency's postinstall does not run, and the install says so"
fi

project script-control runs-scripts
sed -i 's/^allowBuilds:/&\n  runs-scripts@file:runs-scripts-1.0.0.tgz: true/' "$box/script-control/pnpm-workspace.yaml"
if install script-control && [ -e "$box/script-control.ran" ]; then
  say ok "control: named in allowBuilds it runs"
else
  say bad "control: named in allowBuilds it runs"
fi

project git-refused brings-git
if ! install git-refused && grep -q ERR_PNPM_EXOTIC_SUBDEP "$box/git-refused.log"; then
  say ok "a dependency's git dependency fails the install"
else
  say bad "a dependency's git dependency fails the install"
fi

project git-control brings-git
sed -i 's/^blockExoticSubdeps: true/blockExoticSubdeps: false/' "$box/git-control/pnpm-workspace.yaml"
if install git-control && [ -d "$box/git-control/node_modules/.pnpm/node_modules/from-git" ]; then
  say ok "control: without blockExoticSubdeps it installs"
else
  say bad "control: without blockExoticSubdeps it installs"
fi

if [ "$failed" = 1 ]; then tail -n 20 "$box"/*.log; fi
exit "$failed"
