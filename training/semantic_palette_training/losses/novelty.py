"""Novelty of edits, so that an editor told to add a class does not copy what is there (section 5.4, Appendix D).

Legend: B batch, K classes, E = K + 1 classes with the background last, H and W pixels.
"""

import torch
from torch import Tensor


def novelty_loss(generated_BEHW: Tensor, merged_BKHW: Tensor, layout_BKHW: Tensor) -> Tensor:
    """Mean over edited pixels of the scalar product of output and input (eq. 14), averaged over the batch.

    A pixel is edited where the background does not have the largest share of the generated layout. A sample in which
    nothing was edited adds 0: the equation does not say.

    Args:
        generated_BEHW: generated layout with the background, float.
        merged_BKHW: m of the equation, the edited layout, float.
        layout_BKHW: l of the equation, the input, float.
    """
    edited_BHW = (generated_BEHW.argmax(dim=1) != generated_BEHW.shape[1] - 1).to(merged_BKHW.dtype)
    products_BHW = (layout_BKHW * merged_BKHW).sum(dim=1)
    counts_B = edited_BHW.sum(dim=(1, 2)).clamp_min(1.0)
    return ((products_BHW * edited_BHW).sum(dim=(1, 2)) / counts_B).mean()


def inverse_difference_loss(merged_BKHW: Tensor, layout_BKHW: Tensor) -> Tensor:
    """1 / (mean squared difference of output and input + 1e-5), averaged over the batch.

    What the public code's released flags select in place of eq. 14. It looks at the whole frame, so that it also
    pays to change what is not edited, and it is steep where little has been added.
    """
    differences_B = (merged_BKHW - layout_BKHW).square().mean(dim=(1, 2, 3))
    return torch.reciprocal(differences_B + 1e-5).mean()
