"""LivePortrait driven by a performer: what lies between pictures and `engines/nets/liveportrait`.

    portrait  --alignment--> crop --F, M--> Portrait                         once (portrait.py)
    performer --alignment--> crop --M--> Sight                               look   \\
    Sight now and at rest --driving--> x_d --W, G--> crop --> canvas         render / reenactor.py

`networks.py` opens the graphs, `openings.py` measures lids and lips, `cache.py` keeps what a
portrait was encoded to. No torch here: the graphs run on whichever backend was chosen.
"""
