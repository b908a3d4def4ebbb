"""MLflow as a view of the runs. Run directories are the truth: it reads them, and can be made again from them.

One experiment for each study, one record for each run while it trains and when it is finished, one above those of all
seeds of a task, regime and method, and one with the report. Training knows nothing of it.
"""
