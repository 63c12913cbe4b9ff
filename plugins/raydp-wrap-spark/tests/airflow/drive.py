"""Run by Airflow's Python: its own hook, or operator, calls spark-submit; the result is the last line of stdout."""

from __future__ import annotations

import json
import sys
import threading

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

who, application, *arguments = sys.argv[1:]
result = {"raised": None, "text": ""}


def submit():
    try:
        if who == "operator":
            SparkSubmitOperator(task_id="task", application=application, application_args=arguments).execute({})
        else:
            hook.submit(application)
    except Exception as error:  # noqa: BLE001 - whatever Airflow makes of it
        result.update(raised=type(error).__name__, text=str(error))


hook = SparkSubmitHook(application_args=arguments)
if who == "kill":
    thread = threading.Thread(target=submit)
    thread.start()
    sys.stdin.readline()  # the application runs
    result["pid"] = hook._submit_sp.pid
    hook.on_kill()
    thread.join()
else:
    submit()
print(json.dumps(result))
