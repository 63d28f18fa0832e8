"""Carries out on a GPU node what gpu-scheduler decides: model containers, their cards, the only way to them."""
