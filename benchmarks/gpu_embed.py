"""Throughput of an open_clip ViT-B/16 with random weights on CUDA, at several batch sizes.

Needs torch and open_clip alone. Run: python benchmarks/gpu_embed.py.
"""

from __future__ import annotations

import time

import open_clip
import torch

MODEL = "ViT-B-16"
SIZES = (16, 32, 64, 128, 256, 512, 1024)
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
RUNS = 10


def rate(model: torch.nn.Module, size: int, dtype: torch.dtype) -> float:
    """Images per second of `RUNS` batches, from uint8 pixels on the host to vectors on the host."""
    pixels = torch.randint(0, 256, (size, 224, 224, 3), dtype=torch.uint8).pin_memory()

    def once() -> torch.Tensor:
        batch = pixels.to("cuda", non_blocking=True).permute(0, 3, 1, 2).float() / 255.0
        with torch.autocast("cuda", dtype, enabled=dtype is not torch.float32):
            features: torch.Tensor = model.encode_image(batch)
        return features.float().cpu()

    with torch.inference_mode():
        once()
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(RUNS):
            once()
        torch.cuda.synchronize()
    return size * RUNS / (time.perf_counter() - start)


def main() -> None:
    """Print images per second for every precision and batch size."""
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device: this benchmark measures a GPU; run it on one")
    torch.manual_seed(0)
    model = open_clip.create_model(MODEL, pretrained=None, device="cuda").eval()
    print(f"{MODEL} on {torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"{'batch':>6}" + "".join(f"{name:>12}" for name in PRECISIONS))
    for size in SIZES:
        cells = []
        for dtype in PRECISIONS.values():
            try:
                cells.append(f"{rate(model, size, dtype):>12.0f}")
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                cells.append(f"{'no memory':>12}")
        print(f"{size:>6}" + "".join(cells))


if __name__ == "__main__":
    main()
