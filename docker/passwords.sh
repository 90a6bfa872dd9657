#!/bin/sh
# Makes a password for each user of the broker: hashed for the broker in docker/mosquitto/passwords,
# plain in docker/secrets/<user>. Passwords that are there already stay.
# Given the names of your cameras, it also lets the worker clear what Frigate leaves on the broker of
# their replays: sh docker/passwords.sh front yard
# Needs mosquitto_passwd, or docker.
set -eu
for camera in "$@"; do
    case $camera in
    '' | *[!a-zA-Z0-9_-]*)
        echo "camera '$camera': only letters, digits, _ and - are in a camera's name" >&2
        exit 2
        ;;
    esac
done
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
for user in frigate_replay homeassistant dashboard frigate; do
    [ -s "secrets/$user" ] || head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > "secrets/$user"
    printf '%s:%s\n' "$user" "$(cat "secrets/$user")"
done > mosquitto/passwords
if command -v mosquitto_passwd > /dev/null; then
    mosquitto_passwd -U mosquitto/passwords
else
    docker run --rm -v "$PWD/mosquitto:/passwords" eclipse-mosquitto:2.0 mosquitto_passwd -U /passwords/passwords
fi
for camera in "$@"; do
    line="topic readwrite frigate/_replay_$camera/#"
    grep -qxF "$line" mosquitto/acl || sed -i "\\|^topic readwrite frigate_replay/#\$|a $line" mosquitto/acl
done
# The broker of the image runs as user 1883.
chmod 644 mosquitto/passwords
echo "The passwords are in docker/secrets, one file for each user."
