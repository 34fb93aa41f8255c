"""Counter-based noise: every sample's numbers are a pure function of (seed, index, stage).

The bits are Philox-4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), keyed by the seed
and the stage and counted by (block, index). Any stretch of any sample's stream can be made alone, in any order and any
batch. The normal transform uses +, -, *, / and sqrt alone, which IEEE 754 rounds one way only: library normals and
logarithms change with the version and the vector instructions of the machine.

Legend: N samples.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from semantic_palette.errors import InvalidInputError

Uint64Array = npt.NDArray[np.uint64]
Float64Array = npt.NDArray[np.float64]

_ROUNDS = 10
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_WORD_BITS = 64
_WORD = 1 << _WORD_BITS
_LOW_HALF, _HALF_BITS = np.uint64(0xFFFFFFFF), np.uint64(32)
WORDS_PER_BLOCK = 4
"""64-bit words that one Philox block makes."""


def philox_bits(seed: int, index: int, stage: str, count: int) -> Uint64Array:
    """Returns the first `count` words of the stream of (seed, index, stage): uint64 [count].

    Args:
        seed: From 0 to 2^64 - 1.
        index: Sample index, from 0 to 2^64 - 1.
        stage: What the noise is for: palette, layout, image, edit (of a layout) or style (which looks are borrowed).
            Streams of different stages are independent.
        count: Number of words.

    Raises:
        InvalidInputError: When seed or index is out of range.
    """
    _check_word("seed", seed)
    _check_word("index", index)
    # numpy's generator is the same function (it counts before it makes a block), and for one sample it takes a tenth of
    # the time of `philox_rows`, which is for many.
    before = ((index << _WORD_BITS) - 1) % (1 << 4 * _WORD_BITS)
    key = seed | _stage_key(stage) << _WORD_BITS
    return np.asarray(np.random.Philox(counter=before, key=key).random_raw(count), dtype=np.uint64)


def philox_rows(seed: int, indices: Uint64Array, stage: str, first_block: int | Uint64Array, count: int) -> Uint64Array:
    """Returns `count` words of many samples' streams, from a block on: uint64 [N, count].

    Args:
        seed: From 0 to 2^64 - 1.
        indices: Sample indices, uint64 [N].
        stage: As in `philox_bits`.
        first_block: Where to begin, in blocks of four words: one number or uint64 [N].
        count: Words a sample.

    Raises:
        InvalidInputError: When seed is out of range.
    """
    _check_word("seed", seed)
    num_blocks = -(-count // WORDS_PER_BLOCK)
    shape = (len(indices), num_blocks)
    start = np.broadcast_to(np.asarray(first_block, dtype=np.uint64), len(indices))
    block = np.add(start[:, None], np.arange(num_blocks, dtype=np.uint64), dtype=np.uint64)
    zero = np.zeros(shape, dtype=np.uint64)
    counter = (block, np.broadcast_to(indices[:, None], shape), zero, zero)
    words = np.stack(_philox(counter, (seed, _stage_key(stage))), axis=-1)
    return words.reshape(len(indices), num_blocks * WORDS_PER_BLOCK)[:, :count]


def uniforms(seed: int, index: int, stage: str, count: int) -> Float64Array:
    """Returns `count` uniform numbers of the stream of (seed, index, stage): float64 [count] in [0, 1)."""
    return uniforms_from_bits(philox_bits(seed, index, stage, count))


def standard_normal(seed: int, index: int, stage: str, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Returns standard normal numbers of the stream of (seed, index, stage): float32 of a shape."""
    count = int(np.prod(shape, dtype=np.int64))
    return normals_from_bits(philox_bits(seed, index, stage, count)).astype(np.float32).reshape(shape)


def uniforms_from_bits(bits: Uint64Array) -> Float64Array:
    """Maps words to multiples of 2^-53 in [0, 1), float64 of the same shape."""
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def normals_from_bits(bits: Uint64Array) -> Float64Array:
    """Maps words to standard normal numbers, float64 of the same shape, by the inverse of the distribution function."""
    # 52 bits and a half: never 0 or 1, and symmetric about 1/2.
    return normal_quantile(((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


def normal_quantile(probability: npt.ArrayLike) -> Float64Array:
    """Inverse of the standard normal distribution function, for normal float64 numbers strictly between 0 and 1.

    Rational approximations of algorithm AS 241, PPND16 (Wichura, Applied Statistics 37, 1988): about 16 digits.
    """
    p = np.asarray(probability, dtype=np.float64)
    q = p - 0.5
    central = np.abs(q) <= 0.425
    r = 0.180625 - q * q
    result = np.asarray(q * _ratio(_CENTRE, np.where(central, r, 0.0)))
    tail = ~central
    distance = np.sqrt(-_log(np.minimum(p[tail], 1.0 - p[tail])))
    magnitude = np.where(distance <= 5.0, _ratio(_MIDDLE, distance - 1.6), _ratio(_FAR, distance - 5.0))
    result[tail] = np.where(q[tail] < 0.0, -magnitude, magnitude)
    return result


def _ratio(coefficients: tuple[Sequence[float], Sequence[float]], x: Float64Array) -> Float64Array:
    return _polynomial(coefficients[0], x) / _polynomial(coefficients[1], x)


def _polynomial(coefficients: Sequence[float], x: Float64Array) -> Float64Array:
    """Horner's rule, highest power first, one rounding an operation."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def _log(x: Float64Array) -> Float64Array:
    """Natural logarithm of positive normal numbers from exact scaling and the series of 2 artanh((m - 1) / (m + 1))."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < _SQRT_HALF
    mantissa = np.where(small, mantissa * 2.0, mantissa)
    power = (exponent - small).astype(np.float64)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    return np.asarray(power * _LOG_2 + 2.0 * s * _polynomial(_ARTANH, s * s))


def _philox(counter: tuple[Uint64Array, ...], key: tuple[int, int]) -> list[Uint64Array]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _multiply(c0, _MULTIPLIERS[0])
        high1, low1 = _multiply(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ np.uint64(k0), low1, high0 ^ c3 ^ np.uint64(k1), low0
        k0, k1 = (k0 + _KEY_STEPS[0]) % _WORD, (k1 + _KEY_STEPS[1]) % _WORD
    return [c0, c1, c2, c3]


def _multiply(a: Uint64Array, constant: int) -> tuple[Uint64Array, Uint64Array]:
    """Returns the high and the low word of the 128-bit product, from products of 32-bit halves."""
    b_low, b_high = np.uint64(constant & 0xFFFFFFFF), np.uint64(constant >> 32)
    a_low, a_high = a & _LOW_HALF, a >> _HALF_BITS
    cross = a_high * b_low + ((a_low * b_low) >> _HALF_BITS)
    carry = a_low * b_high + (cross & _LOW_HALF)
    return a_high * b_high + (cross >> _HALF_BITS) + (carry >> _HALF_BITS), a * np.uint64(constant)


def _stage_key(stage: str) -> int:
    return int.from_bytes(hashlib.sha256(stage.encode()).digest()[:8], "little")


def _check_word(field: str, value: int) -> None:
    if not 0 <= value < _WORD:
        raise InvalidInputError(field, value, "an integer from 0 to 2^64 - 1 is allowed")


_SQRT_HALF = 0.7071067811865476
_LOG_2 = 0.6931471805599453
_ARTANH = tuple(1.0 / n for n in range(23, 0, -2))

# Numerators and denominators of AS 241, highest power first.
_CENTRE = (
    (
        2.5090809287301226727e3,
        3.3430575583588128105e4,
        6.7265770927008700853e4,
        4.5921953931549871457e4,
        1.3731693765509461125e4,
        1.9715909503065514427e3,
        1.3314166789178437745e2,
        3.3871328727963666080e0,
    ),
    (
        5.2264952788528545610e3,
        2.8729085735721942674e4,
        3.9307895800092710610e4,
        2.1213794301586595867e4,
        5.3941960214247511077e3,
        6.8718700749205790830e2,
        4.2313330701600911252e1,
        1.0,
    ),
)
_MIDDLE = (
    (
        7.74545014278341407640e-4,
        2.27238449892691845833e-2,
        2.41780725177450611770e-1,
        1.27045825245236838258e0,
        3.64784832476320460504e0,
        5.76949722146069140550e0,
        4.63033784615654529590e0,
        1.42343711074968357734e0,
    ),
    (
        1.05075007164441684324e-9,
        5.47593808499534494600e-4,
        1.51986665636164571966e-2,
        1.48103976427480074590e-1,
        6.89767334985100004550e-1,
        1.67638483018380384940e0,
        2.05319162663775882187e0,
        1.0,
    ),
)
_FAR = (
    (
        2.01033439929228813265e-7,
        2.71155556874348757815e-5,
        1.24266094738807843860e-3,
        2.65321895265761230930e-2,
        2.96560571828504891230e-1,
        1.78482653991729133580e0,
        5.46378491116411436990e0,
        6.65790464350110377720e0,
    ),
    (
        2.04426310338993978564e-15,
        1.42151175831644588870e-7,
        1.84631831751005468180e-5,
        7.86869131145613259100e-4,
        1.48753612908506148525e-2,
        1.36929880922735805310e-1,
        5.99832206555887937690e-1,
        1.0,
    ),
)
