"""Networks and geometry: tensors and no clocks. A folder of code, not of TensorRT plans.

`models.py` is the door: `load_reenactor()`, then `encode_identity()` once, `render()` per frame.
"""
