"""Tasks: where people and questions come from; one file each, its loader and its grader together."""
