#!/usr/bin/env bash
# Airflow itself: scheduler, DAG processor, API and UI, on the demo's workspace. Ctrl-C stops it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"

prepare_airflow
[ -e workspace/demo/catalog/feed.csv ] || python -m examples.sample_shop --next-night
cat <<TEXT
Airflow starts at http://$AIRFLOW__API__HOST:$AIRFLOW__API__PORT (no password, this machine only).
  similarity_nightly runs every night at 01:00 UTC; to run it now, in another terminal:
    source infra/airflow/env.sh && airflow dags trigger similarity_nightly
  what it published: recsys status
  catalog_refresh brings in a changed feed every 15 minutes; index_rollback goes back, by hand: docs/operations.md
TEXT
exec airflow standalone
