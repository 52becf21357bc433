"""The `holdfast` command: what operators do with a cluster.

`cli` holds the table of commands; each is a module with `add_arguments` and `run`, imported only when
it is asked for. A module that `run`s raises OperatorError with one sentence that says what is wrong and
what to do; `cli` shows it. Values: data_directory (a cluster on disk), processes (what it consists of).
`rings` changes which devices hold what, while the cluster serves.
"""
