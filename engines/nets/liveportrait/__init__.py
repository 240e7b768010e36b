"""LivePortrait (arXiv 2407.03168): its networks, laid out as the published checkpoints are.

    picture --F--> f_s ------------------------------+
            --M--> x_s -+                            v
    driving --M--> x_d -+--(S, R_lip, R_eye)--> W(f_s, x_d, x_s) --G--> picture

`sizes.py` holds every width, `graphs.py` the tensors of every graph, `keypoints.py` what happens
between M and W. Importing this package or those three needs no torch.
"""
