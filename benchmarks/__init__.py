"""Benchmarks: ours beside the alternatives, interleaved in one run. One module a subject.

Each module has `main()`, which prints its table and returns the rows that
`python -m benchmarks NAME` keeps in outputs/bench/NAME.json.
"""
