"""One file per workload: `TITLE`, and `measure(bench)`, which runs programs and reports figures."""
