#!/bin/sh
# Runs a command with each file of /run/secrets in its environment, under the file's name: a secret
# is then neither in the command line nor in what `docker inspect` shows. A file whose name cannot be
# a variable's is left to who reads it by its path; one that cannot be read stops the command.
set -eu
for file in /run/secrets/*; do
    name=$(basename "$file")
    case "$name" in *[!A-Za-z0-9_]* | [0-9]*) continue ;; esac
    if [ -f "$file" ]; then
        value=$(cat "$file")
        export "$name=$value"
    fi
done
exec "$@"
