"""Whether bfloat16 pays: processors without instructions for it emulate them, four times slower than fp32."""

from __future__ import annotations

import torch


def half(device: torch.device | str = "cpu", wanted: bool = True) -> torch.dtype | None:
    """bfloat16 where it is ``wanted`` and ``device`` computes in it, else None: stay with fp32."""
    if not wanted:
        return None
    if torch.device(device).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    there = any(
        has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name and isinstance(has, bool)
    )
    return torch.bfloat16 if there else None
