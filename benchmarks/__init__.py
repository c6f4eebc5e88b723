"""The benchmarks behind the numbers of the documentation; `python -m benchmarks` lists them.

A module is a group of benchmarks that share a method. A benchmark is a function with the decorator
`measuring.benchmark` that yields rows; its arguments are the options of the command.
"""
