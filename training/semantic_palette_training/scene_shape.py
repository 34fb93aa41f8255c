"""What a network has to know of the scenes it is built for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SceneShape:
    """The part of a data set that decides the sizes of networks; everything else about them is in their configs."""

    num_classes: int
    """Classes of the label space."""
    height: int
    """Rows of a scene, in pixels."""
    width: int
    """Columns of a scene, in pixels."""
