#!/bin/sh
# install-debian.sh PACKAGE...: install Debian or Ubuntu packages, as root or by sudo.
# The services that come with them are not started: HailWhale and its tests start private ones.
set -eu

if ! command -v apt-get >/dev/null; then
    echo "This machine has no apt-get: install $* in its own way, then try again." >&2
    exit 2
fi
if [ "$(id -u)" = 0 ]; then
    root=""
elif command -v sudo >/dev/null; then
    root="sudo"
else
    echo "Installing $* needs root: run 'apt-get install $*' as root, then try again." >&2
    exit 2
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
    $root chmod 755 "$policy"
    trap '$root rm -f "$policy"' EXIT
fi

echo "installing $*"
log=$(mktemp)
quietly() {
    $root env DEBIAN_FRONTEND=noninteractive "$@" >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; exit 1; }
}
quietly apt-get update -q
quietly apt-get install -q -y --no-install-recommends "$@"
rm -f "$log"
