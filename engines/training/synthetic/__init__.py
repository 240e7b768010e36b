"""Faces of people who do not exist, rendered from MakeHuman's mesh (CC0): the training set."""
