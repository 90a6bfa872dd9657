#!/bin/sh
# Installs what the tests need and the machine lacks, from Debian's packages.
set -eu
missing=
command -v mosquitto > /dev/null || missing="$missing mosquitto"
command -v mosquitto_pub > /dev/null || missing="$missing mosquitto-clients"
command -v ffmpeg > /dev/null || missing="$missing ffmpeg"
# File systems that share blocks, for the tests of clips; they are where root looks.
[ -x /usr/sbin/mkfs.xfs ] || missing="$missing xfsprogs"
[ -x /usr/sbin/mkfs.btrfs ] || missing="$missing btrfs-progs"
command -v openssl > /dev/null || missing="$missing openssl"
# For the dashboard: Debian's chromedriver drives Debian's chromium.
command -v chromium > /dev/null || missing="$missing chromium"
command -v chromedriver > /dev/null || missing="$missing chromium-driver"
[ -n "$missing" ] || exit 0
echo "installing$missing"
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
# Debian's package starts a broker of its own on port 1883; the tests start theirs on free ports.
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy > /dev/null
    $as_root chmod 755 $policy
    made=1
fi
install() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}
failed=0
install || { $as_root apt-get update -qq && install; } || failed=$?
[ -z "$made" ] || $as_root rm -f $policy
exit $failed
