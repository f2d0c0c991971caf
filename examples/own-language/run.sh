#!/bin/sh
# Make the data, then run corpus to results in this process. Options are those of electra-pipeline.
set -e
cd "$(dirname "$0")"
python make_data.py
electra-pipeline finetune --config config.yaml "$@"
electra-pipeline results --root runs
