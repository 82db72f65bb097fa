"""Every numbered equation of the paper (Shen et al., ICCV 2023), written out and compared with the network's parts.

The written-out forms are loops over the paper's own indices, in float64; none of them calls code of this project.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gknet import GKNet, preset
from gknet.network.attention import ChannelAttention, SpatialSeparatedAttention
from gknet.network.kernel_prediction import KernelPrediction, make_fusion
from gknet.network.long_distance_reference import TransformerLayer
from gknet.network.modulation import Modulation, modulate, modulate_reference
from gknet.network.selective_correlation import SelectiveCorrelationFusion
from training.engine.loss import foreground_mse

C, C_DEEPER, GROUPS = 6, 8, 3
"""C_l, C_(l-1), and n; m is C / n = 2."""


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def scrambled(module: nn.Module) -> nn.Module:
    """The module in float64 and eval mode, with every parameter drawn anew: nothing is zero or one."""
    module = module.double().eval().requires_grad_(False)
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.copy_(0.5 * torch.randn_like(parameter))
    return module


def linear(layer: nn.Linear, vector: Tensor) -> Tensor:
    return torch.stack([(layer.weight[row] * vector).sum() + layer.bias[row] for row in range(layer.out_features)])


def conv_1x1(layer: nn.Conv2d, picture: Tensor) -> Tensor:
    """(C_in, H, W) -> (C_out, H, W)."""
    assert layer.bias is not None
    result = torch.zeros(layer.out_channels, *picture.shape[1:], dtype=picture.dtype)
    for out in range(layer.out_channels):
        result[out] = layer.bias[out]
        for channel in range(layer.in_channels):
            result[out] += layer.weight[out, channel, 0, 0] * picture[channel]
    return result


def twice_as_large(picture: Tensor) -> Tensor:
    """Bilinear, (C, H, W) -> (C, 2H, 2W): pixel y of the result lies at y / 2 - 1 / 4 of the picture."""
    channels, height, width = picture.shape
    result = torch.zeros(channels, 2 * height, 2 * width, dtype=picture.dtype)
    for y in range(2 * height):
        for x in range(2 * width):
            down, right = max(y / 2 - 0.25, 0), max(x / 2 - 0.25, 0)
            top, left = math.floor(down), math.floor(right)
            bottom, further = min(top + 1, height - 1), min(left + 1, width - 1)
            v, u = down - top, right - left
            above = (1 - u) * picture[:, top, left] + u * picture[:, top, further]
            below = (1 - u) * picture[:, bottom, left] + u * picture[:, bottom, further]
            result[:, y, x] = (1 - v) * above + v * below
    return result


class HeardFusion:
    """An SCF and what passes between its parts in one pass over a batch of one."""

    def __init__(self) -> None:
        module = scrambled(SelectiveCorrelationFusion(C, C_DEEPER, GROUPS))
        assert isinstance(module, SelectiveCorrelationFusion)
        self.module = module
        self.encoded, self.deeper = random(C, 6, 8), random(C_DEEPER, 3, 4)
        heard: dict[str, Tensor] = {}
        handles = [
            module.describe_encoded.register_forward_hook(lambda *given: heard.update(alpha_encoded=given[2][0])),
            module.describe_deeper.register_forward_hook(lambda *given: heard.update(alpha_deeper=given[2][0])),
            module.correlate.register_forward_hook(
                lambda _module, given, result: heard.update(correlation=given[0][0], mixed=result[0])
            ),
        ]
        with torch.no_grad():
            weights = module.compute_channel_weights(self.encoded[None], self.deeper[None])
            self.fused = module(self.encoded[None], self.deeper[None])[0]
        for handle in handles:
            handle.remove()
        self.alpha_encoded, self.alpha_deeper = heard["alpha_encoded"], heard["alpha_deeper"]
        self.correlation, self.mixed = heard["correlation"], heard["mixed"]
        self.weight_encoded, self.weight_deeper = weights[0][0], weights[1][0]


@pytest.fixture(scope="module")
def scf() -> HeardFusion:
    return HeardFusion()


@pytest.mark.parametrize("size", [1, 3, 5])
def test_equation_1_a_block_gives_kernels_and_its_feature(size: int) -> None:
    """K^l, F_KPB^l = KPBlock(F_E^l, F_KPB^(l-1)), with K^l = Conv(F_KPB^l) of C x N^2 numbers a pixel."""
    join = make_fusion(C, C_DEEPER, selective=True, groups=GROUPS)
    block = scrambled(KernelPrediction(join, C, size, residual=False))
    assert isinstance(block, KernelPrediction)
    encoded, deeper = random(1, C, 6, 8), random(1, C_DEEPER, 3, 4)
    with torch.no_grad():
        kernels, feature = block(encoded, deeper)
        assert feature.shape == (1, C, 6, 8)
        assert kernels.shape == (1, C * size**2, 6, 8)
        torch.testing.assert_close(kernels[0], conv_1x1(block.kernels, feature[0]))
        assert torch.equal(block.compute_feature(encoded, deeper), feature)
        torch.testing.assert_close(feature, block.block(join(encoded, deeper)))


def attended_channels(module: ChannelAttention, feature: Tensor) -> Tensor:
    """A(F): every channel of (C, H, W) times its weight, from the channels' means."""
    first, _, second, _ = module.weigh
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    hidden = [value if value > 0 else math.expm1(value) for value in linear(first, feature.mean(dim=(1, 2))).tolist()]
    weights = linear(second, torch.tensor(hidden, dtype=torch.float64)).tolist()
    return torch.stack([plane / (1 + math.exp(-weight)) for plane, weight in zip(feature, weights, strict=True)])


def test_section_3_1_attends_apart_to_background_foreground_and_mix() -> None:
    """(1 - M) A_bg(F) + M (L(A_fg(F)) + A_mix(F))."""
    module = scrambled(SpatialSeparatedAttention(C))
    assert isinstance(module, SpatialSeparatedAttention)
    feature, mask = random(1, C, 6, 8), random(1, 1, 6, 8).sigmoid()
    with torch.no_grad():
        result = module(feature, mask)[0]
        learned = module.learn(attended_channels(module.foreground, feature[0])[None])[0]
    background = attended_channels(module.background, feature[0])
    mix = attended_channels(module.mix, feature[0])
    torch.testing.assert_close(result, (1 - mask[0]) * background + mask[0] * (learned + mix))


def test_section_3_2_tokens_attend_by_scaled_products() -> None:
    """softmax(Q K^T / sqrt(d)) V in each head, and two residual paths; `compute_attention` gives the shares alone."""
    layer = scrambled(TransformerLayer(8, heads=2))
    assert isinstance(layer, TransformerLayer)
    tokens, size = random(1, 5, 8), 4
    with torch.no_grad():
        mixed = layer.query_key_value(layer.attention_norm(tokens))[0]
        query, key, value = (part.view(5, 2, size) for part in mixed.split(8, dim=1))
        attended = torch.zeros(5, 2, size, dtype=torch.float64)
        for head in range(2):
            for token in range(5):
                likeness = [
                    math.exp(float(query[token, head] @ key[other, head]) / math.sqrt(size)) for other in range(5)
                ]
                shares = [one / sum(likeness) for one in likeness]
                attended[token, head] = sum(share * value[other, head] for other, share in enumerate(shares))
                shown = layer.compute_attention(tokens, token)[0, head]
                torch.testing.assert_close(shown, torch.tensor(shares, dtype=torch.float64))
        expected = tokens[0] + layer.project(attended.view(5, 8))
        expected = expected + layer.perceptron(expected)
        torch.testing.assert_close(layer(tokens)[0], expected)


def test_equation_2_correlates_the_groups_of_both_attention_vectors(scf: HeardFusion) -> None:
    """A = alpha_KPB alpha_E^T, n x n, of vectors divided into n groups of length m."""
    length = C // GROUPS
    correlation = torch.zeros(GROUPS, GROUPS, dtype=torch.float64)
    for row in range(GROUPS):
        for column in range(GROUPS):
            for place in range(length):
                of_deeper = scf.alpha_deeper[row * length + place]
                correlation[row, column] += of_deeper * scf.alpha_encoded[column * length + place]
    torch.testing.assert_close(scf.correlation, correlation.flatten())
    assert not torch.allclose(correlation, correlation.T)  # so the order of the two is tested


def test_equation_3_weighs_channels_by_vector_and_correlation(scf: HeardFusion) -> None:
    """S = sigmoid(alpha + b FC(alpha_bar)), alpha_bar from A by a convolution as large as A, split in two."""
    mixed = linear(scf.module.correlate, scf.correlation)
    torch.testing.assert_close(scf.mixed, mixed)
    balance = scf.module.balance
    for weight, alpha, refine, part in (
        (scf.weight_deeper, scf.alpha_deeper, scf.module.refine_deeper, mixed[:C]),
        (scf.weight_encoded, scf.alpha_encoded, scf.module.refine_encoded, mixed[C:]),
    ):
        expected = [
            1 / (1 + math.exp(-float(a + balance * f))) for a, f in zip(alpha, linear(refine, part), strict=True)
        ]
        torch.testing.assert_close(weight, torch.tensor(expected, dtype=torch.float64))


def test_equation_4_adds_both_features_by_their_weights(scf: HeardFusion) -> None:
    """F_hat = S_E Conv(F_E) + Upsample(S_KPB Conv(F_KPB))."""
    encoded, deeper = conv_1x1(scf.module.convert_encoded, scf.encoded), conv_1x1(scf.module.convert_deeper, scf.deeper)
    for channel in range(C):
        encoded[channel] *= scf.weight_encoded[channel]
        deeper[channel] *= scf.weight_deeper[channel]
    torch.testing.assert_close(scf.fused, encoded + twice_as_large(deeper))


def test_equation_4_adds_without_upsampling_at_the_deepest_level() -> None:
    module = scrambled(SelectiveCorrelationFusion(C, C, GROUPS))
    assert isinstance(module, SelectiveCorrelationFusion)
    encoded, reference = random(C, 5, 3), random(C, 5, 3) + 1
    with torch.no_grad():
        of_encoded, of_reference = (part[0] for part in module.compute_channel_weights(encoded[None], reference[None]))
        fused = module(encoded[None], reference[None])[0]
    expected = of_encoded[:, None, None] * conv_1x1(module.convert_encoded, encoded)
    expected += of_reference[:, None, None] * conv_1x1(module.convert_deeper, reference)
    torch.testing.assert_close(fused, expected)


def modulated_by_hand(feature: Tensor, kernels: Tensor, size: int) -> Tensor:
    """Eq. 6: the sum over q around p of K_p[p - q] F[q]; what lies outside the picture is zero.

    feature: (C, H, W).   kernels: (C, N, N, H, W), K_p[(dy, dx)] at [dy + N // 2, dx + N // 2].
    """
    radius = size // 2
    channels, height, width = feature.shape
    result = torch.zeros_like(feature)
    for y in range(height):
        for x in range(width):
            for q_y in range(max(0, y - radius), min(height, y + radius + 1)):
                for q_x in range(max(0, x - radius), min(width, x + radius + 1)):
                    for channel in range(channels):
                        kernel = kernels[channel, y - q_y + radius, x - q_x + radius, y, x]
                        result[channel, y, x] += kernel * feature[channel, q_y, q_x]
    return result


@pytest.mark.parametrize("residual", [False, True])
def test_equation_5_modulates_the_decoders_feature_by_the_blocks_kernels(residual: bool) -> None:
    """F_hat_D = F_D (x) K, the same in the plain and in the fused form; our residual path adds F_D."""
    block = scrambled(KernelPrediction(make_fusion(C, C_DEEPER, selective=True, groups=GROUPS), C, 3, residual))
    assert isinstance(block, KernelPrediction)
    decoded, encoded, deeper = random(1, C, 6, 8), random(1, C, 6, 8), random(1, C_DEEPER, 3, 4)
    modulation = Modulation(residual)
    with torch.no_grad():
        kernels, feature = block(encoded, deeper)
        fused, plain = (
            modulation(decoded, block, encoded, deeper),
            modulation.predict_then_modulate(decoded, block, encoded, deeper),
        )
    expected = modulated_by_hand(decoded[0], kernels[0].view(C, 3, 3, 6, 8), 3)
    for modulated, predictor in (fused, plain):
        torch.testing.assert_close(modulated[0], expected + decoded[0] if residual else expected)
        torch.testing.assert_close(predictor, feature)


@pytest.mark.parametrize("form", [modulate, modulate_reference])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_equation_6_sums_over_the_neighbors(size: int, form: object) -> None:
    feature, kernels = random(2, 4, 6), random(2, size, size, 4, 6)
    modulated = form(feature[None], kernels.view(1, 2 * size**2, 4, 6))  # type: ignore[operator]
    torch.testing.assert_close(modulated[0], modulated_by_hand(feature, kernels, size))


def test_section_3_3_blends_the_decoders_picture_into_the_composite() -> None:
    """I_h = phi_D(...) M + (1 - M) I_c."""
    net = scrambled(GKNet(preset("gknet")))
    assert isinstance(net, GKNet)
    heard: list[Tensor] = []
    net.head.register_forward_hook(lambda _head, _given, picture: heard.append(picture))
    composite, mask = random(1, 3, 16, 24).sigmoid(), random(1, 1, 16, 24).sigmoid()
    with torch.no_grad():
        harmonized = net(composite, mask)
    torch.testing.assert_close(harmonized, heard[0] * mask + (1 - mask) * composite)


@pytest.mark.parametrize("covered", [0.9, 0.01])
def test_equation_7_divides_the_squared_error_by_the_foregrounds_area(covered: float) -> None:
    """The sum over pixels of |I_hat - I|^2, by max(A_min, the sum of M), A_min = 100; a batch's mean."""
    made, real = random(2, 3, 12, 15), random(2, 3, 12, 15) + 0.3
    mask = (torch.rand(2, 1, 12, 15, generator=torch.Generator().manual_seed(0)) < covered).double()
    assert (float(mask[0].sum()) > 100) == (covered > 0.5)
    losses = []
    for picture in range(2):
        error = area = 0.0
        for h in range(12):
            for w in range(15):
                area += float(mask[picture, 0, h, w])
                for channel in range(3):
                    error += float(made[picture, channel, h, w] - real[picture, channel, h, w]) ** 2
        losses.append(error / max(100.0, area))
    assert float(foreground_mse(made, real, mask)) == pytest.approx(sum(losses) / 2, rel=1e-6)
