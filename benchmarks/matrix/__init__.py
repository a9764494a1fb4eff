"""The detector over sites of several sizes and many seeds, held against its targets.

`cell` simulates, replays and scores one traffic; `figures` sums cells up and judges them; `run`
is the command `python -m benchmarks.quality matrix`, `sensitivity` the one of that name.
"""
