"""Filter → Harmonize… in Krita: the active layer's colours and light fitted to what lies below it."""

from __future__ import annotations

from krita import Krita

from .extension import Harmonize

Krita.instance().addExtension(Harmonize(Krita.instance()))
