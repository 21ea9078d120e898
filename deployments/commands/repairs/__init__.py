"""Commands for what stands still: dead children, a fan-out to be cancelled, records in quarantine, rows to fill."""
