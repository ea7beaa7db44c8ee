#!/bin/sh
# Python 3.11, the system's libraries and the user, on any Debian or Ubuntu. Root, in a build.
# Call: install_system.sh playwright|debian|none UID GID
set -eu
browser=$1 uid=$2 gid=$3
export DEBIAN_FRONTEND=noninteractive

add() {
    apt-get install -y -q --no-install-recommends "$@"
}

# Ubuntu 24.04 has no Python 3.11 and 22.04 a release candidate of it; deadsnakes has both.
python_is_there() {
    candidate=$(apt-cache policy python3.11 | sed -n 's/^ *Candidate: //p')
    case $candidate in
        '' | '(none)' | *~rc*) return 1 ;;
    esac
}

apt-get update -q
if ! python_is_there; then
    add software-properties-common
    add-apt-repository -y ppa:deadsnakes/ppa
    apt-get purge -y -q --auto-remove software-properties-common
    apt-get update -q
fi
add ca-certificates libatomic1 libchromaprint1 libchromaprint-tools python3.11 python3.11-venv

case $browser in
    debian)
        # Ubuntu's package of that name only points at a snap, which no container can start.
        if grep -q '^ID=ubuntu' /etc/os-release; then
            echo "BROWSER=debian needs a Debian base; on Ubuntu say BROWSER=playwright" >&2
            exit 2
        fi
        add chromium fonts-liberation
        ;;
    playwright | none) ;;
    *)
        echo "BROWSER is playwright, debian or none, not '$browser'" >&2
        exit 2
        ;;
esac
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/* /var/log/apt /var/log/dpkg.log

# Some bases have a user with this number already; both names may share it.
[ "$uid" -gt 0 ] && [ "$gid" -gt 0 ] || { echo "UID and GID are numbers above 0" >&2; exit 2; }
groupadd --non-unique --gid "$gid" reelscope
useradd --non-unique --uid "$uid" --gid "$gid" --create-home --shell /usr/sbin/nologin reelscope
