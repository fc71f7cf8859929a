"""The report: tables, claims and pictures of finished runs beside the paper's; reads run folders, never torch."""
