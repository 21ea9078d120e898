"""Whether the data is current, and whether what keeps it so is at work: what `status` shows beside the servers."""
