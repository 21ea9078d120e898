"""What is measured: each file is a program that runs in a process of its own, once, and reports in a line of JSON."""
