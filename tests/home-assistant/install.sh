#!/bin/sh
# Installs a whole, newest Home Assistant into a folder: a small Debian with the Python that it needs,
# Home Assistant from PyPI in a virtual environment, and what its core integrations require.
#   install.sh DIR [VERSION]        as root; about two minutes, once
set -eu
DIR=$1 VERSION=${2:-2026.11.0} SUITE=forky PYTHON=3.14
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
HERE=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$DIR"
DIR=$(cd "$DIR" && pwd) ROOT=$DIR/root LOG=$DIR/install.log
[ "$(cat "$DIR/installed" 2>/dev/null)" = "$VERSION" ] && exit 0
[ "$(id -u)" = 0 ] || { echo "install.sh: needs root, for debootstrap and chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || {
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends debootstrap >/dev/null
}
echo "install.sh: Home Assistant $VERSION into $DIR ..." >&2
if [ ! -f "$DIR/debian" ]; then
    rm -rf --one-file-system "$ROOT"
    script=/usr/share/debootstrap/scripts/$SUITE
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    debootstrap --variant=minbase \
        --include="ca-certificates,python$PYTHON,python$PYTHON-dev,g++,libturbojpeg0" \
        "$SUITE" "$ROOT" "$MIRROR" "$script" >"$LOG" 2>&1 || { tail -5 "$LOG" >&2; exit 1; }
    rm -rf "$ROOT"/var/cache/apt/archives/*.deb "$ROOT"/var/lib/apt/lists/*
    touch "$DIR/debian"
fi
# The host's names and authorities, for pip inside.
cp -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
cp /etc/hosts "$ROOT/etc/hosts"
cp /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/ssl/certs/ca-certificates.crt"
mkdir -p "$ROOT/opt/test" "$ROOT/hass-config"
cp "$HERE/requirements.py" "$HERE/keys.py" "$ROOT/opt/test/"
python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --upgrade \
    --no-deps --target "$DIR/uv" uv >>"$LOG" 2>&1 || { tail -5 "$LOG" >&2; exit 1; }
install -m 755 "$DIR/uv/bin/uv" "$ROOT/usr/local/bin/uv"
rm -rf "$DIR/uv"
chroot "$ROOT" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/root LANG=C.UTF-8 \
    ${HTTPS_PROXY:+HTTPS_PROXY=$HTTPS_PROXY} ${PIP_INDEX_URL:+UV_DEFAULT_INDEX=$PIP_INDEX_URL} \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt UV_HTTP_TIMEOUT=180 UV_CONCURRENT_BUILDS=1 \
    VERSION="$VERSION" PYTHON="$PYTHON" /bin/sh -euc '
        rm -rf /opt/ha
        uv venv -q --python "/usr/bin/python$PYTHON" /opt/ha
        python=/opt/ha/bin/python
        uv pip install -q --no-deps --python $python "homeassistant==$VERSION"
        cp /opt/ha/lib/python$PYTHON/site-packages/homeassistant/package_constraints.txt /opt/test/
        limits="-c /opt/test/package_constraints.txt"
        uv pip install -q --python $python "homeassistant==$VERSION" $limits
        $python /opt/test/requirements.py > /opt/test/requirements.txt
        uv pip install -q --python $python -r /opt/test/requirements.txt $limits
        rm -rf /root/.cache' >>"$LOG" 2>&1 || { tail -15 "$LOG" >&2; exit 1; }
echo "$VERSION" >"$DIR/installed"
