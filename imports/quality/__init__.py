"""How good what was sent was: counted batch by batch, settled with the job, read as scores and their trend."""
