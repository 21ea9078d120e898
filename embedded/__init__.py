"""Real PostgreSQL, Redis and Prefect servers from wheels: for the demo, the tests and one church on one machine."""
