"""Tables of the built-in label spaces: a line a class, in order of id.

A line is a name (`_` stands for the spaces of the official name), a display colour as rrggbb, and maybe `ignored` (the
class does not count in evaluation) and `thing` (it is countable). `label_space.py` makes label spaces of them.
"""

CAMVID = """
sky 808080
building 800000
pole c0c080
road 804080
pavement 3c28de
tree 808000
sign_symbol c08080
fence 404080
car 400080 thing
pedestrian 404000 thing
bicyclist 0080c0 thing
void 000000 ignored
"""
"""CamVid as in the SegNet tutorial: 11 classes and void."""

CITYSCAPES = """
unlabeled 000000 ignored
ego_vehicle 000000 ignored
rectification_border 000000 ignored
out_of_roi 000000 ignored
static 000000 ignored
dynamic 6f4a00 ignored
ground 510051 ignored
road 804080
sidewalk f423e8
parking faaaa0 ignored
rail_track e6968c ignored
building 464646
wall 66669c
fence be9999
guard_rail b4a5b4 ignored
bridge 966464 ignored
tunnel 96785a ignored
pole 999999
polegroup 999999 ignored
traffic_light faaa1e
traffic_sign dcdc00
vegetation 6b8e23
terrain 98fb98
sky 4682b4
person dc143c thing
rider ff0000 thing
car 00008e thing
truck 000046 thing
bus 003c64 thing
caravan 00005a ignored thing
trailer 00006e ignored thing
train 005064 thing
motorcycle 0000e6 thing
bicycle 770b20 thing
license_plate 00008e ignored
"""
"""Cityscapes: ids 0 to 33 as published and 34 for the rest, as in the paper; 19 classes are evaluated.

The published id of license_plate is -1. M. Cordts et al., "The Cityscapes Dataset", CVPR 2016."""

IDD = """
road 804080
parking faaaa0
drivable_fallback 510051
sidewalk f423e8
rail_track e6968c
non-drivable_fallback 98fb98
person dc143c thing
animal f6c691 ignored thing
rider ff0000 thing
motorcycle 0000e6 thing
bicycle 770b20 thing
autorickshaw ffcc36 thing
car 00008e thing
truck 000046 thing
bus 003c64 thing
caravan 00005a ignored thing
trailer 00006e ignored thing
train 005064 ignored thing
vehicle_fallback 888f99 thing
curb dcbe28
wall 66669c
fence be9999
guard_rail b4a5b4
billboard ae4043
traffic_sign dcdc00
traffic_light faaa1e
pole 999999
polegroup 999999
obs-str-bar-fallback a9bbd6
building 464646
bridge 966464
tunnel 96785a
vegetation 6b8e23
sky 4682b4
fallback_background a9bbd6
unlabeled 000000 ignored
ego_vehicle 000000 ignored
rectification_border 000000 ignored
out_of_roi 000000 ignored
license_plate 00008e ignored
"""
"""India Driving Dataset: the 40 ids of its labels at the finest level, of which 31 are evaluated.

Names, ids, colours, things and what evaluation leaves out are those of the AutoNUE challenge. Its own scores merge the
classes into 26 (level 3); as in the paper, layouts keep all. G. Varma et al., "IDD", WACV 2019."""

ADE_INDOOR = """
other_objects 000000 ignored
wall 787878
building b47878
sky 06e6e6
floor 503232
tree 04c803
ceiling 787850
bed cc05ff thing
windowpane e6e6e6 thing
cabinet e005ff thing
person 96053d thing
door 08ff33 thing
table ff0652 thing
plant ccff04
curtain ff3307 thing
chair cc4603 thing
painting ff0633 thing
sofa 0b66ff thing
shelf ff0747 thing
mirror dcdcdc thing
rug ff095c
armchair 08ffd6 thing
seat 07ffe0 thing
desk 0aff47 thing
wardrobe 07ffff thing
lamp e0ff08 thing
bathtub 6608ff thing
railing ff3d06 thing
cushion ffc207 thing
box 00ff14 thing
column ff0829 thing
signboard ff0599 thing
chest_of_drawers 0633ff thing
counter eb0cff thing
sink 00a3ff thing
fireplace fa0a0f thing
refrigerator 14ff00 thing
stairs ffe000 thing
pillow 00ebff thing
screen_door 00adff thing
stairway 1f00ff
bookcase 00fff5 thing
blind 003dff
coffee_table 00ff70 thing
toilet 00ff85 thing
flower ff0000 thing
book ffa300 thing
bench c2ff00 thing
countertop 008fff thing
stove 33ff00 thing
kitchen_island 00ff29 thing
computer 00ffad thing
swivel_chair 0a00ff thing
towel ff0066 thing
light ffad00 thing
chandelier 001fff thing
television 00ffc2 thing
airplane 00ff52 thing
apparel 0070ff thing
bannister 007aff thing
escalator 00ffa3
ottoman ff9900 thing
bottle 00ff0a thing
buffet ff7000
poster 8fff00
canopy 00ff5c
washer b800ff thing
plaything ff001f thing
stool 00d6ff thing
basket 5cff00 thing
bag 46b8a0 thing
oven 47ff00 thing
food ffcc00 thing
step ff008f thing
microwave ff00eb thing
pot f500ff thing
animal ff007a thing
dishwasher d6ff00 thing
screen 00ccff thing
blanket 1400ff
sculpture ffff00 thing
hood 0099ff thing
sconce 0029ff thing
vase 00ffcc thing
tray 29ff00 thing
ashcan ad00ff thing
fan 00f5ff thing
crt_screen 7a00ff
plate 00ffb8 thing
monitor 005cff thing
bulletin_board b8ff00 thing
shower 0085ff
radiator ffd600 thing
glass 19c2c2 thing
clock 66ff00 thing
"""
"""ADE-Indoor: 94 of the 150 classes of the MIT scene parsing benchmark, in its order, and other_objects.

The name is SB-GAN's (S. Azadi et al., "Semantic Bottleneck Scene Generation", 2019), which tells the number of its
classes, 95, but not which they are: its lists name images, and its colours are some of the benchmark's, without bed or
door. Here the classes are those that furnish the ten kinds of rooms or show through their windows. The other 56
(outdoor ground, nature, buildings and vehicles; what belongs to shops, bars, playrooms and museums) are
other_objects, which is not evaluated. Names (the first of several) and colours are the benchmark's, and things are
the classes of its instance track. B. Zhou et al., "Semantic Understanding of Scenes through the ADE20K Dataset",
IJCV 2019."""

CELEBAMASK_HQ = """
background 000000
skin cc0000
nose 4c9900
eye_g cccc00
l_eye 3333ff
r_eye cc00cc
l_brow 00ffff
r_brow ffcccc
l_ear 663300
r_ear ff0000
mouth 66cc00
u_lip ffff00
l_lip 000099
hair 0000cc
hat ff3399
ear_r 00cccc
neck_l 003300
neck ff9933
cloth 00cc00
"""
"""CelebAMask-HQ: background and 18 parts of faces, in the order in which their masks are painted.

`l_` and `r_` are left and right (but `l_lip` and `u_lip` the lower and upper lip), `eye_g` glasses, `ear_r` earrings
and `neck_l` a necklace. C.-H. Lee et al., "MaskGAN: Towards Diverse and Interactive Facial Image Manipulation",
CVPR 2020."""

STREETS = """
sky 87ceeb
building 8c6e5a
tree 2e7d32
grass 8bc34a
road 5a5a64
pavement b4a0b4
lane_marking ffffff
pole d2b48c
sign ffd54f
car 1e40c8 thing
pedestrian dc143c thing
bicyclist ff7f0e thing
"""
"""The procedural street scenes of this project."""
