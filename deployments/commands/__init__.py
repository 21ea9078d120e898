"""The commands, a file each, in a wing for each kind: what it takes, and the words of its help.

Enter by `deployments.app`, which lists them. A command imports Prefect and the store when it runs, so that its help is
there at once; it never does more itself than to call what does the work.
"""
