"""Stage 4: a checkpoint to a report."""
