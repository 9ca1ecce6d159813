#!/usr/bin/env bash
# Run the nightly DAG on the sample shop in Airflow, with every task. Run it again for the next night, in which
# too little changes to learn from; with FORCE=1 it trains all the same.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"
SECONDS=0

prepare_airflow
python -m examples.sample_shop --next-night
log="$AIRFLOW_HOME/demo.log"
conf=(); [ -z "${FORCE:-}" ] || conf=(--conf '{"force_training": true}')
echo "running the DAG similarity_nightly in Airflow (its whole log: ${log#"$root"/})"
# The whole log is long; only the lines of the pipeline are shown.
if ! airflow dags test similarity_nightly "${conf[@]}" 2>&1 | tee "$log" | sed -unE 's/^.*(recsys \|.*)$/  \1/p' | sed -uE 's/ +\[[a-z_.]+\] loc=.*$//'; then
  echo "the run failed; the last lines of its log:" >&2
  tail -n 40 "$log" >&2
  exit 1
fi
echo
recsys summary
echo
echo "Before you type these, once per terminal, in this folder:"
echo "  source .venv/bin/activate && export RECSYS_CONFIG=${RECSYS_CONFIG#"$root"/}"
echo "The same on a page, for people: make serve. The next night: make demo again; FORCE=1 makes it train."
echo
echo "make demo took ${SECONDS} s"
