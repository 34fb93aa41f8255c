"""What is known about each data set, by its name in recipes: for the manifest and the card of what is trained on it."""

from typing import TypedDict


class DataFacts(TypedDict):
    """Facts about one data set, as sentences for a person."""

    title: str
    licence: str
    use: str
    """What the licence allows the data to be used for."""
    weights_licence: str
    """What the licence asks of weights trained on the data."""
    citation: str
    kind: str
    """What the scenes are."""


DATA_FACTS: dict[str, DataFacts] = {
    "camvid": {
        "title": "CamVid, the Cambridge-driving Labeled Video Database",
        "licence": "CC BY-NC 4.0",
        "use": "personal and research use only",
        "weights_licence": "CC BY-NC 4.0, inherited from the training data: research use only",
        "citation": (
            'G. J. Brostow, J. Fauqueur, R. Cipolla, "Semantic object classes in video: a high-definition ground truth '
            'database", Pattern Recognition Letters, 2009; split of V. Badrinarayanan, A. Kendall, R. Cipolla, '
            '"SegNet", PAMI, 2017.'
        ),
        "kind": "real street scenes, consecutive frames of a few videos of one city",
    },
    "cityscapes": {
        "title": "The Cityscapes Dataset",
        "licence": "Cityscapes licence agreement",
        "use": "non-commercial: research, teaching, publications, personal experiments; the data may not be passed on",
        "weights_licence": (
            "Cityscapes licence agreement, inherited from the training data: not for commercial use; may be passed on "
            "only as far as the data cannot be recovered from them, with a reference to the data set"
        ),
        "citation": (
            "M. Cordts, M. Omran, S. Ramos, T. Rehfeld, M. Enzweiler, R. Benenson, U. Franke, S. Roth, B. Schiele, "
            '"The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR, 2016.'
        ),
        "kind": "real street scenes of fifty cities in and near Germany",
    },
    "idd": {
        "title": "IDD, the India Driving Dataset",
        "licence": "the agreement accepted when downloading IDD; no public text of it was found",
        "use": "as that agreement says; taken to be research use only",
        "weights_licence": "as the agreement accepted when downloading IDD demands; taken to be research use only",
        "citation": (
            "G. Varma, A. Subramanian, A. Namboodiri, M. Chandraker, C. V. Jawahar, "
            '"IDD: A Dataset for Exploring Problems of Autonomous Navigation in Unconstrained Environments", '
            "WACV, 2019."
        ),
        "kind": "real street scenes of Hyderabad, Bangalore and their outskirts",
    },
    "ade-indoor": {
        "title": "ADE-Indoor: the indoor scenes of ADE20K in the MIT scene parsing benchmark",
        "licence": "ADE20K terms of use: images for research and education only, annotations BSD-3-Clause",
        "use": "non-commercial research and education",
        "weights_licence": "ADE20K terms of use, inherited from the training data: research and education only",
        "citation": (
            "B. Zhou, H. Zhao, X. Puig, T. Xiao, S. Fidler, A. Barriuso, A. Torralba, "
            '"Semantic Understanding of Scenes through the ADE20K Dataset", IJCV, 2019.'
        ),
        "kind": "real photographs of bedrooms, bathrooms, kitchens and seven other kinds of rooms",
    },
    "celebamask-hq": {
        "title": "CelebAMask-HQ",
        "licence": "CelebAMask-HQ dataset agreement",
        "use": "non-commercial research only; images and what is derived from them may not be passed on",
        "weights_licence": "CelebAMask-HQ dataset agreement, inherited from the training data: non-commercial research",
        "citation": (
            'C.-H. Lee, Z. Liu, L. Wu, P. Luo, "MaskGAN: Towards Diverse and Interactive Facial Image Manipulation", '
            "CVPR, 2020."
        ),
        "kind": "real photographs of the faces of celebrities",
    },
    "streets": {
        "title": "Streets, the procedural street scenes of semantic-palette",
        "licence": "Apache-2.0",
        "use": "any",
        "weights_licence": "Apache-2.0",
        "citation": "None needed.",
        "kind": "drawn by a program; not photographs",
    },
    "folder": {
        "title": "your own data",
        "licence": "unknown to semantic-palette",
        "use": "as your data demands",
        "weights_licence": "as your data demands",
        "citation": "As your data demands.",
        "kind": "scenes from a folder of images and label maps",
    },
}
