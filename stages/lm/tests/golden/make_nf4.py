"""Golden bytes for 4-bit NormalFloat with double quantization.

    python make_nf4.py        # writes nf4/*.safetensors beside this file

Versions: bitsandbytes 0.50.2, torch 2.15.0, safetensors 0.8.0.

The first level comes from bitsandbytes' public `quantize_4bit` on the CPU. The second level is bitsandbytes' PyTorch
backend, which finds the nearest code exactly, as the CUDA kernels do; the native CPU backend goes through a table of
65,536 bins instead and differs in about one code in a thousand. The backend divides by absmax in a last, partial block,
where CUDA multiplies by its reciprocal as everywhere else; padding the block with zeros makes it multiply too.
"""

from pathlib import Path

import torch
from bitsandbytes import functional as F
from safetensors.torch import save_file

OUT = Path(__file__).parent / "nf4"


def quantize(w):
    packed, state = F.quantize_4bit(w, quant_type="nf4", compress_statistics=False)
    offset = state.absmax.double().mean().float()  # torch's f32 mean depends on its number of threads
    centred = state.absmax - offset
    code = F.create_dynamic_map()
    short = -len(centred) % 256
    padded = torch.cat([centred, torch.zeros(short)])
    nested = quantize_blockwise_default(padded, code)
    state = F.QuantState(
        absmax=nested[0][: len(centred)], shape=w.shape, dtype=w.dtype, blocksize=64, code=state.code, quant_type="nf4",
        offset=offset, state2=F.QuantState(absmax=nested[1], blocksize=256, code=code, dtype=torch.float32),
    )
    return packed, state


def quantize_blockwise_default(values, code):
    """Formula of `bitsandbytes::quantize_blockwise` of the PyTorch backend, for whole blocks."""
    bounds = (code[:-1] + code[1:]) / 2
    blocks = values.reshape(-1, 256)
    absmax = blocks.abs().max(dim=-1)[0]
    scaled = torch.clamp(blocks * (1.0 / absmax.clamp(min=1e-38).view(-1, 1)), -1, 1).reshape(-1)
    return torch.bucketize(scaled, bounds, out_int32=True).to(torch.uint8), absmax


def main():
    OUT.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(11)
    weights = {
        "square": torch.randn(64, 128, generator=generator) * 0.02,
        "blocks_cross_rows": torch.randn(50, 72, generator=generator),
        "several_nested_blocks": torch.randn(140, 128, generator=generator) * torch.rand(140, 1, generator=generator),
        "odd_tail": torch.randn(3, 67, generator=generator),
        "with_zeros": torch.cat([torch.zeros(2, 64), torch.randn(6, 64, generator=generator)]),
        # Exactly between two codes: 0 and the first positive one.
        "half_way": torch.tensor([[1.0, 0.07958029955625534 / 2, -0.09105003625154495 / 2, 0.0] * 16] * 2),
    }
    for name, w in weights.items():
        packed, state = quantize(w)
        tensors = {"input": w, "weight": packed, "dequantized": F.dequantize_4bit(packed, state)}
        tensors |= {f"weight.{k}": v.clone() for k, v in state.as_dict(packed=True).items()}
        save_file(tensors, OUT / f"{name}.safetensors")


if __name__ == "__main__":
    main()
