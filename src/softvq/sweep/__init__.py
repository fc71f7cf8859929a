"""Many runs: the plan of a sweep, its workers, and its dashboard."""
