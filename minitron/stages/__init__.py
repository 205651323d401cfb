"""One readable file per stage; each has `run(config)`. Stages never import each other: they meet in files."""
