"""What each call took, and what it may still cost: written behind the answers, read by the owner."""
