#!/usr/bin/env bash
# A Slurm cluster of this one machine, all of it below a folder: start.sh FOLDER; start.sh --stop FOLDER ends it.
# Needs root and Debian's packages slurm-wlm and munge. Programs find it by SLURM_CONF=FOLDER/slurm.conf.
set -euo pipefail

if [ "$1" = --stop ]; then
    SLURM_CONF=$2/slurm.conf scancel --full --signal=KILL --user="$(id -un)" && sleep 1 || true
    for name in slurmd slurmctld munged; do
        if [ -s "$2/$name.pid" ]; then
            kill "$(cat "$2/$name.pid")" || true
        fi
    done
    exit
fi

folder=$(realpath "$1")
cpus=${SLURM_TEST_CPUS:-$(nproc)}
host=$(hostname -s)

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

mkdir -p "$folder"/{state,spool,munge}
chmod 755 "$folder"
head -c 128 /dev/urandom >"$folder/munge/key"
chmod 600 "$folder/munge/key"
chown -R munge: "$folder/munge"
chmod 755 "$folder/munge"
runuser -u munge -- munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
    --seed-file="$folder/munge/seed" --log-file="$folder/munge/log" --pid-file="$folder/munge/munged.pid"
ln -sf munge/munged.pid "$folder/munged.pid"

cat >"$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF

export SLURM_CONF=$folder/slurm.conf
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF" -N "$host"
for _ in $(seq 100); do
    if sinfo --noheader --format=%T 2>/dev/null | grep -q idle; then
        exit
    fi
    sleep 0.2
done
echo "no node became idle within 20 s; see $folder/*.log" >&2
exit 1
