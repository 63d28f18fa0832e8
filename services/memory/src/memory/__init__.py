"""Remember, recall and forget: a person's memories, each in the tier they gave it."""
