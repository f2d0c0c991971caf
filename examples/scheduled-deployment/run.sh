#!/bin/sh
# Make the data, then deploy and wait for a scheduled run.
set -e
cd "$(dirname "$0")"
python make_data.py
python deploy_and_wait.py
