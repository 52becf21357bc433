"""Our ring beside OpenStack Swift's, in one run: `python -m tests.bench.ring [--rounds N] [--json]`.

`__main__` runs the four measured programs, each a process of its own that knows one side only (so that memory is its
own): `build_ours`, `build_swift`, `look_up_ours`, `look_up_swift`. What they build is in `setting`; how good it is,
`quality` judges by one measure for both.
"""
