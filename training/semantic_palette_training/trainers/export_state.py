"""What a stage hands to the exporter of each model: everything that rebuilds the network for service."""

from typing import Any

from torch import nn

from semantic_palette.label_space import LabelSpace
from semantic_palette_training.config import to_plain
from semantic_palette_training.scene_shape import SceneShape


def export_state(
    config: Any, network: nn.Module, label_space: LabelSpace, shape: SceneShape, step: int, total_steps: int
) -> dict[str, Any]:
    """Plain values and tensors, as `Stage.export_states` gives them by kind of model.

    Args:
        config: of the network.
        network: with the weights that are served.
        label_space: of the data set.
        shape: of its scenes.
        step: updates done.
        total_steps: updates that the recipe asks for.
    """
    return {
        "model_config": to_plain(config),
        "weights": network.state_dict(),
        "label_space": label_space.to_json(),
        "height": shape.height,
        "width": shape.width,
        "step": step,
        "total_steps": total_steps,
    }
