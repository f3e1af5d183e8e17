"""The command line's own: the main job, tables, results."""
