"""Groups runs over seeds, sets them beside the paper's tables, and tests its claims."""
