"""`python -m deployments COMMAND`: the command `pco-sync`, wherever it is not installed."""

from deployments.app import end, main

if __name__ == "__main__":
    end(main())
