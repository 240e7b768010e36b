"""Whole frames on a GPU: what `engines/models.py` draws by OpenCV, drawn by our kernels instead.

`steps.py` says in which order kernels are launched and with which arguments; it knows no GPU, and
`tests/engines/test_kernels.py` runs it on the host. `easel.py` is the memory and the streams of one
canvas size, and finishes pictures; `painter.py` draws warp-refine's on it, from what `residents.py`
keeps there. `reenactor.py` and `liveportrait.py` are the doors that the daemon knows. What runs
where is in `docs/gpu.md`.

None of it has run on a GPU yet: the tests run it on doubles of CUDA, pycuda and TensorRT.
"""
