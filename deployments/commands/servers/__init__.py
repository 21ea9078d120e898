"""Commands about what runs: the embedded servers, the worker, deployments and tables. None of them reads a church."""
