"""The report folder: results.json, per_class.csv, per_video.csv, report.html."""
