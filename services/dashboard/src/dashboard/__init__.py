"""The dashboard's backend: one origin for the browser, in front of the services behind it."""
