"""The five levels: what each holds and for how long, and the loop that moves memories between them."""
