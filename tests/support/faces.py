"""Face features from a stand-in, and made people."""

from dataclasses import dataclass, field
from typing import Any

from enrapt.realtime.features.face import Extractor, FaceOptions


@dataclass(frozen=True)
class FacesFrom(FaceOptions):
    """Every stream of pictures takes its features from this extractor."""

    extractor: Any = field(default=None, kw_only=True)

    def open(self) -> Extractor:
        return self.extractor
