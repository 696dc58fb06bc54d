"""Teacher forcing: what a transformers model says of a continuation that is given, in one forward pass.

Shapes: T tokens of the continuation, R of a part of it, L of prompt and continuation, V vocabulary entries.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.errors import ModelError
from harness.models.hf_decode import Decoder, NoRoom
from harness.types import Message, TokenScores

_PART = 512
"""Tokens of which the whole vocabulary's log-probabilities are held in float32 at once."""


def score(decoder: Decoder, messages: Sequence[Message], continuation: str | Sequence[int], top: int) -> TokenScores:
    """The scores, by a log-softmax in float32 whatever the weights are in.

    Raises what `PromptRenderer.continued` raises, `NoRoom` if the memory does not suffice beside a batch, `ModelError`
    if it does not at all.
    """
    prompt, ids = decoder.prompts.continued(messages, continuation, decoder.context)
    logprobs: list[float] = []
    likeliest: list[dict[int, float]] = []
    try:
        with torch.inference_mode():
            # A position says what comes next, so nothing asks for the one of the last token.
            ids_L = torch.tensor([*prompt, *ids[:-1]], device=decoder.device)
            logits_TV = decoder.model(input_ids=ids_L[None], use_cache=False, **decoder.last(len(ids))).logits[0]
            logits_TV = logits_TV[-len(ids) :]
            for start in range(0, len(ids), _PART):
                logprobs_RV = logits_TV[start : start + _PART].float().log_softmax(-1)
                ids_R = torch.tensor(ids[start : start + _PART], device=logprobs_RV.device)
                logprobs += logprobs_RV.gather(-1, ids_R[:, None])[:, 0].tolist()
                if top > 0:
                    best = logprobs_RV.topk(min(top, logprobs_RV.shape[-1]))
                    rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
                    likeliest += [dict(zip(*row, strict=True)) for row in rows]
    except torch.OutOfMemoryError as error:
        if decoder.busy:
            raise NoRoom from error
        raise ModelError(f"out of memory over {len(prompt)} tokens of prompt and {len(ids)} to score") from error
    starts = decoder.prompts.starts(continuation)
    return TokenScores(ids, tuple(logprobs), tuple(likeliest) if top > 0 else None, len(prompt) + len(ids), starts)
