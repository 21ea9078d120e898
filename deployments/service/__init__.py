"""Hands the servers and the worker to the machine's own supervisor, systemd or launchd, so that a reboot needs nobody.

Enter by `managing`. `programs` says what runs, for every supervisor the same; `systemd` and `launchd` put it into their
words. Schedules need nothing here: Prefect's server keeps them, and `up` deploys them.
"""
