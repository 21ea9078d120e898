"""A simulated Planning Center over real HTTP: for the demo, the tests and the benchmark."""
