"""Networks and geometry: tensors and no clocks. This folder is code; TensorRT plans live in the cache.

`models.py` is the door: `load_reenactor()`, then `encode_identity()` once and `render()` per frame.
"""
