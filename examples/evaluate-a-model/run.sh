#!/bin/sh
# Make tasks and model, then evaluate. Options are those of electra-pipeline.
set -e
cd "$(dirname "$0")"
python make_data.py
python make_model.py
electra-pipeline evaluate model --config config.yaml "$@"
electra-pipeline results --root runs
