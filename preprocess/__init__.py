"""Stage 1: videos to frame JPEGs and a ledger. Never imports MindSpore."""
