"""Decoders: one video file to pictures."""
