"""Groups runs, summarises them over seeds, and tests the paper's claims."""
