"""Where the training curve and the results go beside the run folder."""
