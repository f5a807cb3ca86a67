"""Stage 2: frames to MindRecord shards and a manifest. Only the writer (`pack`) imports MindSpore."""
