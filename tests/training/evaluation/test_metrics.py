"""MSE, PSNR and fMSE against an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

from training.evaluation.metrics import score_picture


def test_scores_agree_with_scikit_image() -> None:
    real = skimage.data.astronaut()
    noise = np.random.default_rng(0).normal(0, 9, real.shape)
    harmonized = (real + noise).clip(0, 255).round().astype(np.uint8)
    mask = np.zeros(real.shape[:2], bool)
    mask[100:300, 50:200] = True
    scores = score_picture(harmonized, real, mask)
    assert scores.mse == pytest.approx(mean_squared_error(real, harmonized), rel=1e-6)
    assert scores.psnr == pytest.approx(peak_signal_noise_ratio(real, harmonized), abs=1e-4)
    assert scores.fmse == pytest.approx(mean_squared_error(real[mask], harmonized[mask]), rel=1e-6)


def test_equal_pictures_score_no_error() -> None:
    real = skimage.data.coffee()
    assert score_picture(real, real, np.ones(real.shape[:2])) == (0.0, 100.0, 0.0)


def test_what_cannot_be_scored_is_refused() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="8-bit"):
        score_picture(picture.astype(float), picture, np.ones((4, 4)))
    with pytest.raises(ValueError, match="shapes differ"):
        score_picture(picture, picture, np.ones((4, 5)))
    with pytest.raises(ValueError, match="mask is empty"):
        score_picture(picture, picture, np.zeros((4, 4)))
