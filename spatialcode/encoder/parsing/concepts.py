"""SAM 3's detector: one noun phrase at a time, all its instances in a picture.

Carion et al., "SAM 3: Segment Anything with Concepts", 2025, arXiv 2511.16719. The picture passes
the image tower once; the head runs for every word, many words together. A box's score is its own
probability times the probability that the phrase is in the picture at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spatialcode.encoder.parsing.boxes import chosen
from spatialcode.encoder.parsing.protocol import Detections
from spatialcode.encoder.parsing.settings import ConceptSettings
from spatialcode.encoder.parsing.towers import PretrainedTower, TowerPart, batches, device_memory
from spatialcode.encoder.parsing.vocabulary import AskedWords, asked_words, require_tokens
from spatialcode.encoder.protocol import Window


class ConceptDetector(TowerPart[ConceptSettings]):
    """A `Detector`. The masks that the network also draws are left to a mask source."""

    image_tower = "vision_encoder"

    def __init__(self, tower: PretrainedTower, settings: ConceptSettings) -> None:
        super().__init__(tower, settings)
        self._tokenizer = tower.tokenizer()
        self._known: tuple[AskedWords, Any] | None = None

    def detect(
        self, window: Window, rows: Sequence[int], labels: Sequence[str]
    ) -> list[Detections]:
        """See `Detector`; labels are asked by their own word and some synonyms."""
        words = asked_words(labels, self._settings.num_synonyms)
        found: list[Detections] = []
        with device_memory(f"embedding {len(words.words)} words"):
            texts, mask = self._texts(words)
        for part in batches(rows, self._settings.num_frames):
            with device_memory(f"detecting in {len(part)} frames at once"):
                found += self._found(window.rgb[part], words, texts, mask)
        return found

    @torch.inference_mode()
    def _texts(self, words: AskedWords) -> tuple[Float[Tensor, "w t c"], Tensor]:
        """The words' features and which of their tokens count; of the last vocabulary, kept."""
        if self._known is None or self._known[0] != words:
            model = self._tower.model
            limit = model.config.text_config.max_position_embeddings
            texts = list(words.words)
            require_tokens(words, [len(ids) for ids in self._tokenizer(texts)["input_ids"]], limit)
            tokens = self._tokenizer(
                texts, padding="max_length", max_length=limit, return_tensors="pt"
            ).to(self._tower.device)
            output = model.get_text_features(
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
                return_dict=True,
            )
            self._known = words, (output.pooler_output, tokens["attention_mask"])
        return self._known[1]

    @torch.inference_mode()
    def _found(
        self, rgb: np.ndarray, words: AskedWords, texts: Float[Tensor, "w t c"], mask: Tensor
    ) -> list[Detections]:
        seen = self._tower.model.get_vision_features(self._tower.pictures(rgb))
        size = rgb.shape[1], rgb.shape[2]
        scale = self._tower.prepare.scale(*size)
        results = []
        for i in range(len(rgb)):
            boxes, scores, labels = [], [], []
            for rows in batches(range(len(words.words)), self._settings.num_words):
                near, sure = self._asked(seen, i, texts[rows], mask[rows])
                boxes.append(near.reshape(-1, 4))
                scores.append(sure.reshape(-1))
                labels += [words.labels[row] for row in rows for _ in range(sure.shape[1])]
            every = np.concatenate(boxes).astype(np.float64) * scale
            sure = np.concatenate(scores)
            results.append(chosen(every, labels, sure, size, self._settings.choice))
        return results

    def _asked(
        self, seen: Any, frame: int, texts: Float[Tensor, "w t c"], mask: Tensor
    ) -> tuple[Float[np.ndarray, "w q 4"], Float[np.ndarray, "w q"]]:
        """Normalised corners and scores of each word's boxes in one frame."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling
        from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

        def repeated(levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
            own = (level[frame : frame + 1] if len(level) > 1 else level for level in levels)
            return tuple(level.expand(len(texts), -1, -1, -1) for level in own)

        output = self._tower.model(
            vision_embeds=Sam3VisionEncoderOutput(
                fpn_hidden_states=repeated(seen.fpn_hidden_states),
                fpn_position_encoding=repeated(seen.fpn_position_encoding),
            ),
            text_embeds=BaseModelOutputWithPooling(pooler_output=texts),
            attention_mask=mask,
        )
        scores = output.pred_logits.float().sigmoid() * output.presence_logits.float().sigmoid()
        return output.pred_boxes.float().cpu().numpy(), scores.cpu().numpy()
