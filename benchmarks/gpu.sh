#!/usr/bin/env bash
# A borrowed card's quarter of an hour: are captured steps right, how long does a step take, then the paper's tables with
# several seeds, the most valuable first. Needs no network; what is finished is kept, so the same command goes on later.
#
# usage: benchmarks/gpu.sh PACK OUT [SECONDS]
#   PACK     what benchmarks/gpu_pack.sh packed
#   OUT      folder of the results: six or seven small files, as of the last step that ended
#   SECONDS  to be done in: 720
#   DRY=1    in the environment: every step with tiny sizes on a CPU, of the later sweeps the plan alone
#   WORK     in the environment: folder of everything else, logs/gpu
#   SKIP     in the environment: names of steps that are left out, as steps.tsv has them
#   ROWS     in the environment: rows of the tables, separated by commas; all of them
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
pack=$(realpath "$1") out=$2 limit=${3:-720}
work=${WORK:-logs/gpu} python=${PYTHON:-python3}
reserve=20 # seconds for the last results to be collected
mkdir -p "$out" "$work/data" "$work/done"
out=$(realpath "$out") work=$(realpath "$work")

left() { echo $((limit - SECONDS - reserve)); }

collect() { # what the runs found, small enough to carry
    local part="$work/runs.tar.xz.$BASHPID"
    (cd "$work" && find runs -type f \( -name '*.json' -o -name '*.yaml' -o -name 'metrics.csv' -o -name 'run.log' \) \
        -print0 2>/dev/null | tar --null -T - -cJf "$part" 2>/dev/null)
    mv "$part" "$out/runs.tar.xz"
}

step() { # NAME SECONDS COMMAND...: unless fewer than so many seconds are left
    local name=$1 needed=$2 began=$SECONDS status
    shift 2
    if [ -e "$work/done/$name" ] || [[ " ${SKIP:-} " == *" $name "* ]]; then return; fi
    if [ "$(left)" -lt "$needed" ]; then
        printf '%s\tleft out\t%s s left, %s needed\n' "$name" "$(left)" "$needed" | tee -a "$out/steps.tsv"
        return 1
    fi
    echo "== $name ($(left) s left)" | tee -a "$out/log.txt"
    timeout --signal=INT --kill-after=15 "$(left)" "$@" >> "$out/log.txt" 2>&1
    status=$?
    printf '%s\tstatus %s\t%s s\n' "$name" "$status" "$((SECONDS - began))" | tee -a "$out/steps.tsv"
    if [ $status = 0 ]; then touch "$work/done/$name"; fi
    collect
    return $status
}

sweep() { # NAME SECONDS ENTRY OVERRIDE...: an entry of evidence.yaml
    local name=$1 needed=$2 entry=$3
    shift 3
    # No figure comes back from here, and 2,500 points take as long to place as a network of which many train at once.
    step "$name" "$needed" "$python" benchmarks/evidence.py --only "$entry" --logs "$work/runs" "${jobs[@]}" \
        probes.tsne_points=2 "$@" "${tiny[@]}"
}

unpack() {
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --upgrade --target "$work/site" "$pack"/wheels/*.whl
    mkdir -p "$work/data/MNIST/raw"
    for file in "$pack"/MNIST/raw/*.gz; do gzip -dc "$file" > "$work/data/MNIST/raw/$(basename "${file%.gz}")"; done
    if [ -e "$pack/cifar10.tar.xz" ] && [ ! -d "$work/cifar10" ]; then
        mkdir "$work/cifar10.part"
        tar -xJf "$pack/cifar10.tar.xz" -C "$work/cifar10.part" ${DRY:+--wildcards */00[0-9]?.jpg}
        mv "$work/cifar10.part" "$work/cifar10"
    fi
}
export -f unpack
export pack work python
export PYTHONPATH="$PWD/src:$work/site" SOFTVQ_DATA="$work/data" PYTHONUNBUFFERED=1
SOFTVQ_COMMIT=$(cat "$pack/commit")
export SOFTVQ_COMMIT GIT_DIR="$work/none" # the code here is a copy; a repository around it may be at another commit

share_card() { # has the kernels of several processes run side by side, where CUDA's multi-process service works
    if [ -n "${DRY:-}" ]; then return; fi
    if ! command -v nvidia-cuda-mps-control > /dev/null; then return 1; fi
    export CUDA_MPS_PIPE_DIRECTORY=/tmp/softvq-mps CUDA_MPS_LOG_DIRECTORY="$work/mps-log"
    mkdir -p "$CUDA_MPS_PIPE_DIRECTORY" "$CUDA_MPS_LOG_DIRECTORY"
    if nvidia-cuda-mps-control -d &&
        timeout 40 "$python" -c 'import torch; torch.ones(9, device="cuda").sum().item()'; then return; fi
    unshare_card
    unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
    return 1
}

unshare_card() { [ -n "${DRY:-}" ] || echo quit | timeout 20 nvidia-cuda-mps-control; }

device=gpu five=0,1,2,3,4 three=0,1,2 two=0,1 more=1,2 one=0 tiny=() plan=() steps=()
rows=${ROWS:-soft_vq,vq,vae,identity,beta_vae,info_dropout,untrained} # raw pixels have no seeds, and need no card
if [ -n "${DRY:-}" ]; then
    device=cpu five=0,1 three=0 two=0 more=1 plan=(hydra.sweeper.plan_only=true)
    tiny=(trainer.accelerator=cpu trainer.max_steps=4 trainer.log_every_n_steps=2 probes=fast probes.tsne_points=50
        probes.clustering.n_init=1 probes.classification.max_iter=1 probes.train_limit=500 probes.test_limit=500)
    steps=(--steps 6 --warm 2)
fi
# Convolutions in TF32, as PyTorch has them unless told otherwise; one seed a process, since grouped ones are no faster.
conv=(data=image_folder trainer.matmul_precision=high trainer.seeds_per_process=1)

cuda_tests() {
    step tests 60 "$python" -m pytest -q -p no:cacheprovider -p no:benchmark --timeout 120 \
        $("$python" -c 'import xdist' 2> /dev/null && printf -- '-n 3') \
        tests/training/test_cuda_graph.py tests/training/test_replayed_steps.py
}
table_1() { sweep table_1 60 table_1 bottleneck="$rows" seed=$five; }
released() { sweep released 60 released bottleneck="${rows%,untrained}" seed=$five; }
berthelot() { sweep berthelot 60 berthelot,berthelot_quantized; }
kl_sweep() { sweep kl_sweep 45 kl_sweep --jobs 7 seed=$more "${plan[@]}"; }
density() { sweep density 45 density seed=$three "${plan[@]}"; }
variances() { sweep variances 45 variances seed=$three "${plan[@]}"; }
batch() { sweep batch 45 batch seed=$three "${plan[@]}"; }
noise_sweep() { sweep noise_sweep 45 noise_sweep seed=$three "${plan[@]}"; }
k_sweep() { sweep k_sweep 45 k_sweep --jobs 6 bottleneck.K=8,16,32,64,256,512 seed=$three "${plan[@]}"; } # noise_sweep has 128
vq_weights() { sweep vq_weights 45 vq_weights --jobs 6 seed=$two "${plan[@]}"; }
figure_4() { sweep figure_4 45 figure_4 "${plan[@]}"; }
equal_distortion() { # the baseline has no penalty, and a weight of 1 is Table 1
    sweep equal_distortion 45 equal_distortion --jobs 10 bottleneck=soft_vq,vae,vq,beta_vae,info_dropout \
        penalty_weight=0.1,0.3,3,10 seed=$one "${plan[@]}"
}
cifar10() { [ -z "${conv[*]}" ] || sweep cifar10 90 cifar10_jpeg "${conv[@]}" bottleneck="$rows" seed=$one; }
k_sweep_cifar10() {
    [ -z "${conv[*]}" ] || sweep k_sweep_cifar10 60 k_sweep_cifar10_jpeg --jobs 4 "${conv[@]}" bottleneck.K=8,32,128,512 \
        seed=$three "${plan[@]}"
}
variances_cifar10() { [ -z "${conv[*]}" ] || sweep variances_cifar10 60 variances_cifar10_jpeg --jobs 3 "${conv[@]}" "${plan[@]}"; }
spatial() { [ -z "${conv[*]}" ] || sweep spatial 90 cifar10_jpeg_spatial "${conv[@]}" seed=$one "${plan[@]}"; }
cifar10_more_seeds() {
    [ -z "${conv[*]}" ] || sweep cifar10_more_seeds 90 cifar10_jpeg "${conv[@]}" bottleneck="$rows" seed=$more "${plan[@]}"
}
# Each line is done from left to right, all lines at once where processes can share the card, else one after the other.
lanes=(
    "cuda_tests"
    "table_1 berthelot"
    "released"
    "kl_sweep vq_weights"
    "density"
    "variances"
    "batch figure_4"
    "noise_sweep"
    "k_sweep equal_distortion"
    "cifar10 variances_cifar10 k_sweep_cifar10 spatial cifar10_more_seeds"
)

step unpack 30 bash -c unpack || exit 1
[ -d "$work/cifar10" ] || conv=()
step machine 5 bash -c 'nvidia-smi; "$python" -VV; "$python" -m pip list 2>/dev/null | grep -i -E "^(torch|lightning|numpy|scikit|hydra|omegaconf)"; true'
step step_times 60 "$python" benchmarks/gpu_steps.py "$out/step_times.json" --device "$device" --seconds 90 "${steps[@]}"
export CIFAR10_JPEG=$work/cifar10
if share_card >> "$out/log.txt" 2>&1; then
    echo "several processes share the card" | tee -a "$out/steps.tsv"
    jobs=(--jobs 5) tiny+=(trainer.threads=2)
    for lane in "${lanes[@]}"; do
        for part in $lane; do $part; done &
    done
    wait
    unshare_card
else
    jobs=()
    for part in ${lanes[*]}; do $part; done
fi
step report 10 "$python" -m softvq report "$work/runs" --out "$work/report"
cp "$work"/report/{results.json,runs.csv} "$out/" 2>/dev/null
collect
du -sh "$out"/*
