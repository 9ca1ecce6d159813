# Sourced by demo.sh and standalone.sh: Airflow inside the checkout, nothing outside touched.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="$root/.venv/bin:$PATH"
export AIRFLOW_HOME="${AIRFLOW_HOME:-$root/.airflow}"
export AIRFLOW__CORE__DAGS_FOLDER="$root/dags"
export AIRFLOW__CORE__PLUGINS_FOLDER="$root/infra/airflow/plugins"
export AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__CORE__EXECUTOR=LocalExecutor
export AIRFLOW__CORE__PARALLELISM=2               # a laptop, not a cluster
export AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION=False
export AIRFLOW__CORE__EXECUTE_TASKS_NEW_PYTHON_INTERPRETER=True  # torch in a forked process can hang
export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True        # no password: the UI listens on loopback only
export AIRFLOW__API__HOST=127.0.0.1
export AIRFLOW__API__PORT="${AIRFLOW_PORT:-8080}"
export AIRFLOW__API__BASE_URL="http://127.0.0.1:$AIRFLOW__API__PORT"  # where tasks report to
export AIRFLOW__LOGGING__LOGGING_LEVEL=INFO
export RECSYS_CONFIG="${RECSYS_CONFIG:-$root/conf/demo.toml}"
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONWARNINGS=ignore
mkdir -p "$AIRFLOW_HOME"

prepare_airflow() {
  local log="$AIRFLOW_HOME/setup.log"
  if [ ! -f "$AIRFLOW_HOME/.prepared" ]; then
    echo "preparing Airflow's database in ${AIRFLOW_HOME#"$root"/}"
    { airflow db migrate && airflow pools set index_writer 1 "one writer of the index at a time"; } >"$log" 2>&1 \
      || { tail -n 20 "$log" >&2; echo "Airflow could not be prepared; the whole log is $log" >&2; return 1; }
    touch "$AIRFLOW_HOME/.prepared"
  fi
}
