"""Benchmarks: one file a question, each a ratio of two figures measured in the same run.

Rates of machines differ, and of the same machine from hour to hour; ratios of what is measured in turns do not.
`python -m benchmarks [NAME...] [--json]` runs them.
"""
