"""Leave and come back: forgetting, export, import, and the nightly Markdown beside the database."""
