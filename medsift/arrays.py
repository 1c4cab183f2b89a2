"""Name the array types that every room uses, so that a signature says what it holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Narrow = NDArray[np.int32]
Flags = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Vectors = NDArray[np.float32]
"""Unit vectors of pictures or texts, (n, d)."""
Pixels = NDArray[np.uint8]
"""A picture as an encoder takes it, (height, width, 3)."""
