#!/bin/sh
# Runs a command with each file of /run/secrets in its environment, under the file's name: a secret
# is then neither in the command line nor in what `docker inspect` shows.
set -eu
for file in /run/secrets/*; do
    if [ -f "$file" ]; then export "$(basename "$file")=$(cat "$file")"; fi
done
exec "$@"
