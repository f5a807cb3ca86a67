"""What can be packed: a frames folder, videos as they are, a folder of images."""
