"""One way to read what a user calls a bundle."""

import pytest

from semantic_palette.bundle_reference import BundleReference
from semantic_palette.errors import InvalidInputError
from semantic_palette.pair import BundleIdentity

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, (None, None, None)),
        ("camvid", ("camvid", None, None)),
        ("camvid/3", ("camvid", "3", None)),
        (f"camvid@{DIGEST}", ("camvid", None, DIGEST)),
        (f"camvid/3@{DIGEST}", ("camvid", "3", DIGEST)),
        (f"camvid/3@sha256:{DIGEST}", ("camvid", "3", DIGEST)),
    ],
)
def test_parts_of_a_reference(text, parts):
    assert BundleReference.parse(text) == BundleReference(*parts)


@pytest.mark.parametrize("text", ["", "/3", "camvid/", "a/b/c", "camvid@123", f"camvid/3@{DIGEST}0", f"@{DIGEST}"])
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(InvalidInputError, match=r"bundle: .* name/version"):
        BundleReference.parse(text)


def test_a_reference_admits_what_agrees_with_all_its_parts():
    bundle = BundleIdentity("camvid", "3", DIGEST)
    for text in (None, "camvid", "camvid/3", f"camvid@{DIGEST}", f"camvid/3@sha256:{DIGEST}"):
        assert BundleReference.parse(text).admits(bundle)
    for text in ("tiny", "camvid/2", f"camvid@{'0' * 64}", f"tiny/3@{DIGEST}"):
        assert not BundleReference.parse(text).admits(bundle)
