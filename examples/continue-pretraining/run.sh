#!/bin/sh
# Pre-train on general text, then continue on recipes. Options are those of electra-pipeline.
set -e
cd "$(dirname "$0")"
python make_data.py
model=$(electra-pipeline publish --config general.yaml "$@")
electra-pipeline publish --config recipes.yaml \
    --set "tokenizer.initialize_from=$model" --set "pretrain.initialize_from=$model" "$@"
