"""The literature that a methods paragraph cites."""

from __future__ import annotations

from dataclasses import dataclass, field

REFERENCES = {
    "attention": "Oktay O. et al. Attention U-Net: learning where to look for the pancreas. Medical Imaging with Deep "
    "Learning (MIDL), 2018. arXiv:1804.03999.",
    "paulow": "PAULow: Patch-based Attention U-Net for Low-resource learning. Medical Imaging with Deep Learning "
    "(MIDL), short paper, 2025. https://github.com/NTUMMIO/PAULow.",
    "weights": "Qiao S. et al. Micro-batch training with batch-channel normalization and weight standardization. "
    "2019. arXiv:1903.10520.",
    "groups": "Wu Y., He K. Group normalization. European Conference on Computer Vision (ECCV), 2018.",
    "torch": "Paszke A. et al. PyTorch: an imperative style, high-performance deep learning library. Advances in "
    "Neural Information Processing Systems 32, 2019.",
    "dice": "Milletari F., Navab N., Ahmadi S.-A. V-Net: fully convolutional neural networks for volumetric medical "
    "image segmentation. 3D Vision (3DV), 2016.",
    "tversky": "Salehi S. S. M., Erdogmus D., Gholipour A. Tversky loss function for image segmentation using 3D "
    "fully convolutional deep networks. Machine Learning in Medical Imaging (MLMI), 2017.",
    "focal": "Abraham N., Khan N. M. A novel focal Tversky loss function with improved attention U-Net for lesion "
    "segmentation. IEEE International Symposium on Biomedical Imaging (ISBI), 2019.",
    "adam": "Kingma D. P., Ba J. Adam: a method for stochastic optimization. International Conference on Learning "
    "Representations (ICLR), 2015.",
    "adamw": "Loshchilov I., Hutter F. Decoupled weight decay regularization. International Conference on Learning "
    "Representations (ICLR), 2019.",
    "cosine": "Loshchilov I., Hutter F. SGDR: stochastic gradient descent with warm restarts. International "
    "Conference on Learning Representations (ICLR), 2017.",
    "l2sp": "Li X., Grandvalet Y., Davoine F. Explicit inductive bias for transfer learning with convolutional "
    "networks. International Conference on Machine Learning (ICML), 2018.",
    "lwf": "Li Z., Hoiem D. Learning without forgetting. IEEE Transactions on Pattern Analysis and Machine "
    "Intelligence 40, 2935–2947, 2018.",
    "teacher": "Tarvainen A., Valpola H. Mean teachers are better role models: weight-averaged consistency targets "
    "improve semi-supervised deep learning results. Neural Information Processing Systems (NeurIPS), 2017.",
    "cutmix": "French G. et al. Semi-supervised semantic segmentation needs strong, varied perturbations. British "
    "Machine Vision Conference (BMVC), 2020.",
    "mixing": "Wortsman M. et al. Robust fine-tuning of zero-shot models. IEEE/CVF Conference on Computer Vision and "
    "Pattern Recognition (CVPR), 2022. arXiv:2109.01903.",
    "augment": "Isensee F. et al. nnU-Net: a self-configuring method for deep learning-based biomedical image "
    "segmentation. Nature Methods 18, 203–211, 2021.",
    "surface": "Nikolov S. et al. Clinically applicable segmentation of head and neck anatomy for radiotherapy: deep "
    "learning algorithm development and validation study. J. Med. Internet Res. 23, e26151, 2021.",
    "stardist": "Weigert M. et al. Star-convex polyhedra for 3D object detection and segmentation in microscopy. IEEE "
    "Winter Conference on Applications of Computer Vision (WACV), 2020.",
    "cellpose": "Stringer C. et al. Cellpose: a generalist algorithm for cellular segmentation. Nature Methods 18, "
    "100–106, 2021.",
    "bootstrap": "Efron B., Tibshirani R. J. An introduction to the bootstrap. Chapman & Hall, 1993.",
}


@dataclass
class References:
    """Numbers references in the order in which they are cited."""

    cited: list[str] = field(default_factory=list)

    def cite(self, *keys: str) -> str:
        """Return the numbers of some references, such as ``[1, 3]``."""
        self.cited += [key for key in keys if key not in self.cited]
        return f"[{', '.join(str(self.cited.index(key) + 1) for key in keys)}]"

    @property
    def items(self) -> tuple[str, ...]:
        """The references that were cited, in order."""
        return tuple(REFERENCES[key] for key in self.cited)
