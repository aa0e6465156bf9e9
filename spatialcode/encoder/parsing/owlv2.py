"""OWLv2: one box a patch of the picture, compared with words.

Minderer et al., "Scaling Open-Vocabulary Object Detection", NeurIPS 2023, arXiv 2306.09683. The
picture passes the network once, whatever the number of words; words are embedded once a vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spatialcode.encoder.parsing.boxes import chosen, corners
from spatialcode.encoder.parsing.protocol import Detections
from spatialcode.encoder.parsing.settings import DetectorSettings
from spatialcode.encoder.parsing.towers import PretrainedTower, TowerPart, batches, device_memory
from spatialcode.encoder.parsing.vocabulary import AskedWords, asked_words, require_tokens
from spatialcode.encoder.protocol import Window

#: The sentence that the published weights were evaluated with, among others.
_SENTENCE = "a photo of a {}"


class OwlDetector(TowerPart[DetectorSettings]):
    """A `Detector`."""

    image_tower = "owlv2.vision_model"

    def __init__(self, tower: PretrainedTower, settings: DetectorSettings) -> None:
        super().__init__(tower, settings)
        self._tokenizer = tower.tokenizer()
        self._known: tuple[AskedWords, Float[Tensor, "w c"]] | None = None

    def detect(
        self, window: Window, rows: Sequence[int], labels: Sequence[str]
    ) -> list[Detections]:
        """See `Detector`; labels are asked by their own word and some synonyms."""
        words = asked_words(labels, self._settings.num_synonyms)
        found: list[Detections] = []
        with device_memory(f"embedding {len(words.words)} words"):
            queries = self._queries(words)
        for part in batches(rows, self._settings.num_frames):
            with device_memory(f"detecting in {len(part)} frames at once"):
                found += self._found(window.rgb[part], words, queries)
        return found

    @torch.inference_mode()
    def _queries(self, words: AskedWords) -> Float[Tensor, "w c"]:
        """The words' embeddings; those of the last vocabulary are kept."""
        if self._known is None or self._known[0] != words:
            limit = self._tower.model.config.text_config.max_position_embeddings
            texts = [_SENTENCE.format(word) for word in words.words]
            require_tokens(words, [len(ids) for ids in self._tokenizer(texts)["input_ids"]], limit)
            tokens = self._tokenizer(
                texts, padding="max_length", max_length=limit, return_tensors="pt"
            ).to(self._tower.device)
            # Padding is masked: the published text tower pads with zeros and masks them.
            output = self._tower.model.owlv2.get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
            self._known = words, output.pooler_output
        return self._known[1]

    @torch.inference_mode()
    def _found(
        self, rgb: np.ndarray, words: AskedWords, queries: Float[Tensor, "w c"]
    ) -> list[Detections]:
        model, size = self._tower.model, (rgb.shape[1], rgb.shape[2])
        features = model.image_embedder(self._tower.pictures(rgb))[0]
        patches = features.flatten(1, 2)
        logits, _ = model.class_predictor(patches, queries.expand(len(rgb), -1, -1))
        best = logits.float().sigmoid().max(dim=2)
        boxes = model.box_predictor(patches, features).float().cpu().numpy()
        scale = self._tower.prepare.scale(*size)
        return [
            chosen(
                corners(boxes[i]) * scale,
                [words.labels[word] for word in best.indices[i].tolist()],
                best.values[i].cpu().numpy(),
                size,
                self._settings.choice,
            )
            for i in range(len(rgb))
        ]
