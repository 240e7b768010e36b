"""One file per arrow of `realtime/pipeline.py`, in the order

    ingest -> (drivers) -> retarget -> (look) -> reenact -> composite -> mark -> emit

A stage is a class with `__call__(in) -> out` that receives its own section of the settings. It
knows no threads and no sockets.
"""
