"""Bringing a folder of DAG files to an Airflow: what belongs to it, whether it works there, putting it in place.

imports     what a Python file names: modules and files
source      the folder: DAG files, the modules they need, data
target      the Airflow: its program, its interpreter, its commands; `probe` is what runs in there
manifest    what was deployed
deployment  releases in the DAGs folder, and the step from one to the next
sync        all of it in order
"""
