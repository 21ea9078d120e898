"""Makes with Prefect what runs need: the work pool, deployments, automations, block types, credentials, a worker.

Enter by `provision.provision`; `declared` reads prefect.yaml. Never deletes what is not ours.
"""
