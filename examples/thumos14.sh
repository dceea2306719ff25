#!/bin/sh
# The paper's table 1 on THUMOS14, beside the paper's and ActionFormer's figures: published I3D
# features, the presets paper and strong, three seeds each.
#
#     sh examples/thumos14.sh thumos [WORK]
#
# thumos is the folder that ActionFormer's thumos.tar.gz unpacks to, with i3d_features/ and
# annotations/thumos14.json in it (docs/thumos14.md says where it is). What is finished in WORK is
# not made again, so the same line goes on after an interruption.
# SETTINGS="--set optim.epochs=2" and SEEDS="0" change every training.
set -eu

if [ $# -lt 1 ] || [ ! -d "$1/i3d_features" ] || [ ! -f "$1/annotations/thumos14.json" ]; then
    echo "usage: sh $0 thumos [WORK]; thumos must hold i3d_features/ and annotations/thumos14.json" >&2
    exit 2
fi
thumos=$1
work=${2:-thumos14}
seeds=${SEEDS:-0 1 2}
mkdir -p "$work"

if [ ! -f "$work/features.h5" ]; then
    tsatal import "$thumos/i3d_features" "$work/features.h5" \
        --annotations "$thumos/annotations/thumos14.json" \
        --format actionformer --stride-frames 4 --window-frames 16 --split-at 1024
fi

for seed in $seeds; do
    for preset in paper strong; do
        run=$work/$preset.seed$seed
        if [ -f "$run/metrics.json" ]; then
            continue
        elif [ -f "$run/last.pt" ]; then
            tsatal train --resume --out "$run"
        else
            # shellcheck disable=SC2086  # several words
            tsatal train --features "$work/features.h5" --config "$preset+thumos14" \
                --set "optim.seed=$seed" --out "$run" ${SETTINGS:-}
        fi
        tsatal evaluate "$run"
    done
done

"${PYTHON:-python3}" "$(dirname "$0")/thumos14_table.py" "$work"
