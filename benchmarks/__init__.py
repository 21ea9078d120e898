"""The numbers of docs/benchmarks.md, measured on the machine that runs it: `python -m benchmarks`."""
