"""Grounding DINO and MM-Grounding-DINO: boxes for all words of a text at once.

Liu et al., "Grounding DINO", ECCV 2024, arXiv 2303.05499; Zhao et al., "An Open and Comprehensive
Pipeline for Unified Object Grounding and Detection", arXiv 2401.02361. The text is the vocabulary,
words ended by full stops; each box has a score for every token of it. Which tokens are which word
is known here, because the text is put together here: the library's own post-processing joins the
tokens of neighbouring words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialcode.encoder.parsing.boxes import chosen, corners
from spatialcode.encoder.parsing.protocol import Detections
from spatialcode.encoder.parsing.settings import DetectorSettings
from spatialcode.encoder.parsing.towers import PretrainedTower, TowerPart, batches, device_memory
from spatialcode.encoder.parsing.vocabulary import AskedWords, asked_words, chunked, require_tokens
from spatialcode.encoder.protocol import Window
from spatialcode.errors import WeightsError


@dataclass(frozen=True, eq=False)
class Caption:
    """One text of T tokens for some words.

    ``word_tokens`` (W, T): which tokens are which word's; the full stops are no word's.
    """

    ids: Int[Tensor, " t"]
    word_tokens: Bool[Tensor, "w t"]
    words: AskedWords


class GroundedDetector(TowerPart[DetectorSettings]):
    """Either network of this family by its weights: a `Detector`."""

    def __init__(self, tower: PretrainedTower, settings: DetectorSettings) -> None:
        super().__init__(tower, settings)
        self._tokenizer = tower.tokenizer()

    def captions(self, words: AskedWords) -> list[Caption]:
        """The texts that ask for all words, none longer than the network reads."""
        tokenizer, config = self._tokenizer, self._tower.model.config
        ids = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words.words]
        begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
        stop = tokenizer.convert_tokens_to_ids(".")
        if None in (begin, end, stop) or stop == tokenizer.unk_token_id:
            raise WeightsError(f"{self._tower.folder}: its tokenizer lacks [CLS], [SEP] or '.'")
        limit = min(config.max_text_len, config.text_config.max_position_embeddings) - 2
        num_tokens = [len(one) + 1 for one in ids]
        require_tokens(words, num_tokens, limit)
        return [
            _caption([ids[row] for row in rows], (begin, stop, end), words.part(rows))
            for rows in chunked(num_tokens, limit)
        ]

    def detect(
        self, window: Window, rows: Sequence[int], labels: Sequence[str]
    ) -> list[Detections]:
        """See `Detector`; labels are asked by their own word and some synonyms."""
        captions = self.captions(asked_words(labels, self._settings.num_synonyms))
        found: list[Detections] = []
        for part in batches(rows, self._settings.num_frames):
            with device_memory(f"detecting in {len(part)} frames at once"):
                found += self._found(window.rgb[part], captions)
        return found

    @torch.inference_mode()
    def _found(self, rgb: np.ndarray, captions: Sequence[Caption]) -> list[Detections]:
        pixels = self._tower.pictures(rgb)
        answers = [self._answer(pixels, caption) for caption in captions]
        size = rgb.shape[1], rgb.shape[2]
        scale = self._tower.prepare.scale(*size)
        results = []
        for frame in range(len(rgb)):
            boxes = np.concatenate([corners(boxes[frame]) * scale for boxes, _, _ in answers])
            scores = np.concatenate([scores[frame] for _, scores, _ in answers])
            names = [label for _, _, labels in answers for label in labels[frame]]
            results.append(chosen(boxes, names, scores, size, self._settings.choice))
        return results

    def _answer(
        self, pixels: Tensor, caption: Caption
    ) -> tuple[Float[np.ndarray, "n q 4"], Float[np.ndarray, "n q"], list[list[str]]]:
        """Normalised boxes (centre, size), their best word's score, and its label."""
        ids = caption.ids.to(pixels.device).expand(len(pixels), -1)
        with torch.autocast(pixels.device.type, self._tower.dtype, enabled=self._mixed):
            output = self._tower.model(
                pixel_values=pixels,
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                token_type_ids=torch.zeros_like(ids),
                pixel_mask=torch.ones_like(pixels[:, 0], dtype=torch.long),
            )
        scores = word_scores(output.logits, caption.word_tokens)
        best = scores.max(dim=2)
        labels = [[caption.words.labels[word] for word in one] for one in best.indices.tolist()]
        return output.pred_boxes.float().cpu().numpy(), best.values.cpu().numpy(), labels

    @property
    def _mixed(self) -> bool:
        return self._tower.dtype != torch.float32


def _caption(ids: list[list[int]], marks: tuple[int, int, int], words: AskedWords) -> Caption:
    begin, stop, end = marks
    tokens = [begin]
    spans = []
    for one in ids:
        spans.append(range(len(tokens), len(tokens) + len(one)))
        tokens += [*one, stop]
    tokens.append(end)
    word_tokens = torch.zeros(len(ids), len(tokens), dtype=torch.bool)
    for row, span in enumerate(spans):
        word_tokens[row, span.start : span.stop] = True
    return Caption(torch.tensor(tokens), word_tokens, words)


def word_scores(
    logits: Float[Tensor, "n q tt"], word_tokens: Bool[Tensor, "w t"]
) -> Float[Tensor, "n q w"]:
    """A box's score for each word: the mean probability over the word's tokens.

    ``logits`` may be padded beyond the text's T tokens. Source: the positive map of Grounding
    DINO's own COCO evaluation.
    """
    share = word_tokens.to(logits.device, torch.float32)
    share = share / share.sum(dim=1, keepdim=True).clamp(min=1.0)
    probability = torch.nan_to_num(logits[..., : share.shape[1]].float().sigmoid())
    return probability @ share.T
