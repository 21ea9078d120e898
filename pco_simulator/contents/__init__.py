"""What exists in the simulated Planning Center, how it hangs together, and how it changes."""
