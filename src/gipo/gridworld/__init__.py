"""The gridworld of figure 4: an exact bias-variance study of the objectives, and of the claims drawn from it.

``gipo.gridworld.tables`` makes a study's tables of it; everything else needs numpy and torch alone.
"""
