"""The ways over the GPU nodes: a place asked of the scheduler, and the granted request sent to the node."""
