"""How every container of the house is: served, and announced when it changes."""
