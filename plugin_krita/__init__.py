"""Filter → Harmonize… in Krita: matches the active layer's colours and light to the image below it."""

from __future__ import annotations

from krita import Krita

from .extension import Harmonize

Krita.instance().addExtension(Harmonize(Krita.instance()))
