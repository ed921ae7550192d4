"""Run one DAG by ``dag.test()``; the last line of the output has the task states as JSON."""

import json
import sys

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG


def main(dag_id: str, run_id: str, conf: str) -> None:
    bag = DagBag()
    assert not bag.import_errors, bag.import_errors
    dag: DAG = bag.dags[dag_id]
    run = dag.test(run_conf=json.loads(conf), run_after=None)
    states = {
        f"{instance.task_id}[{instance.map_index}]": str(instance.state)
        for instance in run.get_task_instances()
    }
    print(json.dumps({"run": str(run.state), **dict(sorted(states.items()))}))


main(*sys.argv[1:])
