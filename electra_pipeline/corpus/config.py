"""The configuration of the corpus stage."""

from typing import Any

from pydantic import Field

from electra_pipeline.corpus.cleaning.config import DocumentRules
from electra_pipeline.corpus.dedup.config import Decontamination, NearDuplicates, RepeatedLines
from electra_pipeline.corpus.sources import config as sources_config
from electra_pipeline.corpus.sources.config import Source


class CorpusConfig(DocumentRules):
    """A corpus: its sources, which documents are kept, and which are held out."""

    sources: tuple[Source, ...] = Field(min_length=1)
    """Where documents come from. The first of equal documents, in this order, is kept."""
    held_out_fraction: float = Field(default=0.01, ge=0.0, lt=1.0)
    """Fraction of the documents, chosen by content hash, that is never trained on."""
    repeated_lines: RepeatedLines | None = None
    """Remove lines that many documents share; null keeps them."""
    near_duplicates: NearDuplicates | None = None
    """Keep one of documents that are nearly equal; null drops only exact duplicates."""
    decontaminate: Decontamination | None = None
    """Drop documents that contain examples of evaluation data; null keeps them."""
    shard_megabytes: int = Field(default=256, ge=1)
    """Size at which a shard is closed, in MB."""

    @property
    def document_rules(self) -> DocumentRules:
        """Return the part of the configuration that applies to single documents."""
        return DocumentRules(**{name: getattr(self, name) for name in DocumentRules.model_fields})

    @property
    def identity(self) -> dict[str, Any]:
        """Return the settings that determine the bytes of the corpus."""
        settings = self.model_dump(mode="json", exclude={"decontaminate": {"files"}})
        settings |= super().identity
        settings["sources"] = [sources_config.identity(source) for source in self.sources]
        if self.near_duplicates is not None:
            from electra_pipeline.corpus.dedup.minhash import SIGNATURE_VERSION  # imports NumPy

            settings["signatures"] = SIGNATURE_VERSION
        return settings
