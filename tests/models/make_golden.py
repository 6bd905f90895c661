"""Writes tests/golden/published.json and .npz: what torch `transformers` answers for the models of published_models.py.

pip install -e .[reference] && python -m tests.models.make_golden
"""

import json

import numpy as np
import torch
import transformers

from tests.models.published_models import CONFIGS, GOLDEN, IDS, MASK, MASKED, SEGMENTS, STDS, TARGET, draw


def make(name: str, masked: bool = False) -> transformers.PreTrainedModel:
    """The reference's model without a head, or the masked one; of T5 the one that writes, which has the output table.

    transformers 5 makes T5 1.1 with one table; published checkpoints have an output table of their own.
    """
    model_type = name.split("-")[0]
    config = transformers.AutoConfig.for_model(model_type, **CONFIGS[name])
    if masked:
        return transformers.AutoModelForMaskedLM.from_config(config).eval()
    kind = transformers.T5ForConditionalGeneration if model_type == "t5" else None
    model = kind(config) if kind else transformers.AutoModel.from_config(config)
    if name == "t5-untied":
        model.lm_head.weight = torch.nn.Parameter(torch.zeros(13, 8))
        model.config.tie_word_embeddings = False
    return model.eval()


def fill(model: torch.nn.Module, std: float) -> dict[str, list[int]]:
    """Draws the weights; gives the shapes of the tensors that are saved."""
    shapes = {}
    for name, parameter in model.named_parameters():  # tied ones once
        parameter.data = torch.tensor(draw(name, tuple(parameter.shape), std))
        shapes[name] = list(parameter.shape)
    return shapes


@torch.no_grad()
def answers(model: transformers.PreTrainedModel) -> dict[str, np.ndarray]:
    """As published_models.answers, where the reference has the same."""
    model_type, mask, inputs = model.config.model_type, MASK[:, :, None], _inputs(model)
    if model_type == "t5":
        inputs["decoder_input_ids"] = torch.tensor(TARGET).long()
    out = model(**inputs, output_hidden_states=True)
    hidden = out.encoder_hidden_states if model_type == "t5" else out.hidden_states
    found = {"layers": np.stack([each.numpy() for each in hidden]) * mask}
    found["sequence"] = found["layers"][-1]
    if getattr(out, "pooler_output", None) is not None:
        found["pooled"] = out.pooler_output.numpy()
    if model_type == "gpt2":
        found["logits"] = (out.last_hidden_state @ model.wte.weight.T).numpy() * mask
        found["pooled"] = out.last_hidden_state.numpy()[np.arange(2), MASK.sum(1) - 1]
    if model_type == "t5":
        found["logits"] = out.logits.numpy()
    return found


@torch.no_grad()
def masked_logits(model: transformers.PreTrainedModel) -> np.ndarray:
    """As published_models.masked_logits."""
    return model(**_inputs(model)).logits.numpy() * MASK[:, :, None]


def _inputs(model: transformers.PreTrainedModel) -> dict[str, torch.Tensor]:
    inputs = {"input_ids": torch.tensor(IDS).long(), "attention_mask": torch.tensor(MASK).long()}
    if model.config.model_type in ("bert", "albert"):
        inputs["token_type_ids"] = torch.tensor(SEGMENTS).long()
    return inputs


def main() -> None:
    about: dict = {"torch": torch.__version__, "transformers": transformers.__version__, "models": {}, "masked": {}}
    arrays = {}
    for name in CONFIGS:
        model = make(name)
        for std in STDS:
            shapes = fill(model, std)
            arrays |= {f"{name} {std} {key}": a for key, a in answers(model).items() if key != "layers"}
        about["models"][name] = {"config": json.loads(model.config.to_json_string()), "shapes": shapes}
    for name in MASKED:
        model = make(name, masked=True)
        for std in STDS:
            shapes = fill(model, std)
            arrays[f"masked {name} {std}"] = masked_logits(model)
        about["masked"][name] = {"config": json.loads(model.config.to_json_string()), "shapes": shapes}
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / "published.json").write_text(json.dumps(about, separators=(",", ":")) + "\n")
    np.savez_compressed(GOLDEN / "published.npz", **arrays)


if __name__ == "__main__":
    main()
