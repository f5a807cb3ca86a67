"""What every stage uses: errors, files, progress, and the frame around a command."""
