"""Many conversions in one task: the plan, the run and the manifest."""
