#!/bin/sh
# Makes the secrets of compose.yaml: random, in a folder that only its owner can enter, once. Needs mosquitto_passwd, or the broker's image.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
for name in influx_password influx_token mqtt_password platform_password; do
    [ -s "secrets/$name" ] || random >"secrets/$name"
done
[ -s secrets/influx_user ] || printf admin >secrets/influx_user
printf 'desk-1:%s\nplatform:%s\n' "$(cat secrets/mqtt_password)" "$(cat secrets/platform_password)" >secrets/broker.passwd
if command -v mosquitto_passwd >/dev/null; then
    mosquitto_passwd -U secrets/broker.passwd
else
    docker run --rm -v "$PWD/secrets:/s" eclipse-mosquitto:2 mosquitto_passwd -U /s/broker.passwd
fi
chmod 700 secrets # the folder is closed; inside a container, each file is for the user that it was handed to
chmod 644 secrets/*
echo "secrets/ is made; the platform's password for MQTT is in secrets/platform_password"
