"""Networks: the paper's widths, Glorot initialisation, and convolutions beside a NumPy convolution."""

import math

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from softvq.networks import conv
from softvq.networks.conv import Convolution, Double, Halve, TransposedConvolution, layer_sizes
from softvq.networks.mlp import MLPDecoder, MLPEncoder
from softvq.networks.pixels import PixelDecoder, PixelEncoder

HEADS = {"z_e": 6, "log_var": 9}
SHAPES = [(28, 28, 1), (32, 32, 3), (33, 47, 2), (16, 17, 4)]


@pytest.fixture
def build(compose_train):
    """Encoder and decoder of conf/network for images of a shape."""

    def built(network, shape, heads=HEADS, *overrides):
        config = compose_train("data=digits", f"network={network}")
        config.merge_with_dotlist([f"network.d={heads['z_e']}", *overrides])
        return (
            instantiate(config.network.encoder, image_shape=shape, heads=heads),
            instantiate(config.network.decoder, image_shape=shape),
        )

    return built


def small(network, *overrides):
    """Narrower layers, where widths do not matter."""
    if network == "mlp":
        return ("network.encoder.hidden=[7,5]", "network.decoder.hidden=[5,7]", *overrides)
    return ("network.encoder.channels=[3,4,5,6]", "network.decoder.channels=[6,5,4]", *overrides)


def layers(module, *kinds):
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def parameter_count(module):
    return sum(parameter.numel() for parameter in module.parameters())


# --- widths


@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 1), (32, 32, 3)])
def test_mlp_is_d_500_500_2000_d_and_its_mirror(build, shape):
    D = math.prod(shape)
    encoder, decoder = build("mlp", shape)
    widths = [(layer.in_features, layer.out_features) for layer in layers(encoder, nn.Linear)]
    assert widths == [(D, 500), (500, 500), (500, 2000), (2000, 6), (2000, 9)]
    mirrored = [(layer.in_features, layer.out_features) for layer in layers(decoder, nn.Linear)]
    assert mirrored == [(6, 2000), (2000, 500), (500, 500), (500, D)]


def test_mlp_has_the_parameters_of_its_widths(build):
    encoder, decoder = build("mlp", (28, 28, 1), {"z_e": 64, "log_var": 128})
    body = 784 * 500 + 500 + 500 * 500 + 500 + 500 * 2000 + 2000
    assert parameter_count(encoder) == body + (2000 * 64 + 64) + (2000 * 128 + 128)
    assert parameter_count(decoder) == 64 * 2000 + 2000 + 2000 * 500 + 500 + 500 * 500 + 500 + 500 * 784 + 784


def test_conv_doubles_64_channels_down_to_2_by_2_by_512(build):
    encoder, _ = build("conv", (32, 32, 3))
    x, shapes = torch.rand(2, 32, 32, 3), []
    for layer in layers(encoder, nn.Conv2d):
        layer.register_forward_hook(lambda layer, inputs, output: shapes.append(tuple(output.shape[1:])))
    codes = encoder(x)
    assert shapes == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    assert {name: tuple(code.shape) for name, code in codes.items()} == {"z_e": (2, 1, 6), "log_var": (2, 1, 9)}


def test_conv_decoder_goes_from_2048_units_over_512_256_128_to_the_image(build):
    _, decoder = build("conv", (32, 32, 3))
    shapes = []
    for layer in layers(decoder, nn.Linear, nn.ConvTranspose2d):
        layer.register_forward_hook(lambda layer, inputs, output: shapes.append(tuple(output.shape[1:])))
    assert decoder(torch.randn(2, 1, 6)).shape == (2, 32, 32, 3)
    assert shapes == [(2048,), (512, 4, 4), (256, 8, 8), (128, 16, 16), (3, 32, 32)]


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_conv_has_the_parameters_of_its_channels(build, padding):
    encoder, decoder = build("conv", (32, 32, 3), {"z_e": 256, "log_var": 32}, f"network.padding={padding}")
    body = sum(9 * i * o + o for i, o in ((3, 64), (64, 128), (128, 256), (256, 512)))
    assert parameter_count(encoder) == body + (2048 * 256 + 256) + (2048 * 32 + 32)
    tail = sum(9 * i * o + o for i, o in ((512, 512), (512, 256), (256, 128), (128, 3)))
    assert parameter_count(decoder) == (256 * 2048 + 2048) + tail


def test_conv_spatial_has_the_parameters_of_its_channels(build):
    encoder, decoder = build("conv_spatial", (32, 32, 3), {"z_e": 64, "log_var": 64})
    body = sum(9 * i * o + o for i, o in ((3, 64), (64, 128), (128, 256), (256, 512)))
    assert parameter_count(encoder) == body + 2 * (9 * 512 * 64 + 64)
    assert parameter_count(decoder) == sum(9 * i * o + o for i, o in ((64, 512), (512, 256), (256, 128), (128, 3)))


def test_conv_spatial_has_four_codes_of_64_for_a_32_by_32_image(build):
    encoder, decoder = build("conv_spatial", (32, 32, 3), {"z_e": 64})
    codes = encoder(torch.rand(2, 32, 32, 3))["z_e"]
    assert codes.shape == (2, 4, 64)
    assert encoder.positions == 4
    assert decoder(codes).shape == (2, 32, 32, 3)


@pytest.mark.parametrize(
    ("network", "shape", "positions"),
    [
        ("conv_spatial_4x4", (32, 32, 3), 16),
        ("conv_spatial_4x4", (28, 28, 1), 16),
        ("conv_spatial_8x8", (32, 32, 3), 64),
        ("conv_spatial_8x8", (28, 28, 1), 49),
        ("conv_spatial_8x8", (8, 8, 1), 4),
        ("conv_small", (28, 28, 1), 1),
        ("conv_small", (8, 8, 1), 1),
    ],
)
def test_finer_maps_have_as_many_codes_of_64_as_they_say(build, network, shape, positions):
    encoder, decoder = build(network, shape, {"z_e": 64})
    codes = encoder(torch.rand(2, *shape))["z_e"]
    assert codes.shape == (2, positions, 64)
    assert encoder.positions == positions
    assert decoder(codes).shape == (2, *shape)


def test_spatial_codes_are_the_grid_row_by_row_on_both_sides(build):
    encoder, decoder = build("conv_spatial", (32, 48, 1), {"z_e": 6}, *small("conv"))
    x, codes = torch.rand(2, 32, 48, 1), torch.randn(2, 6, 6)
    grid = encoder.heads["z_e"](encoder.body(x))
    assert grid.shape == (2, 6, 2, 3)
    rows = [grid[:, :, row, column] for row in range(2) for column in range(3)]
    torch.testing.assert_close(encoder(x)["z_e"], torch.stack(rows, dim=1))
    laid_out = torch.stack([codes[:, :3], codes[:, 3:]], dim=1).permute(0, 3, 1, 2)  # (B, d, 2, 3)
    torch.testing.assert_close(decoder(codes), decoder.tail(laid_out))


# --- any size and number of channels


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("network", ["conv", "conv_spatial"])
def test_convolutional_networks_take_any_size_and_give_it_back(build, network, shape, padding):
    encoder, decoder = build(network, shape, HEADS, *small("conv", f"network.padding={padding}"))
    codes = encoder(torch.rand(2, *shape))
    assert codes["z_e"].shape == (2, encoder.positions, 6)
    assert codes["log_var"].shape == (2, encoder.positions, 9)
    assert decoder(codes["z_e"]).shape == (2, *shape)


@pytest.mark.parametrize("shape", [*SHAPES, (8, 8, 1), (1, 1, 1), (5, 2, 3)])
def test_mlp_takes_any_size_and_gives_it_back(build, shape):
    encoder, decoder = build("mlp", shape, HEADS, *small("mlp"))
    codes = encoder(torch.rand(2, *shape))
    assert codes["z_e"].shape == (2, 1, 6)
    assert codes["log_var"].shape == (2, 1, 9)
    assert decoder(codes["z_e"]).shape == (2, *shape)


@pytest.mark.parametrize("network", ["conv", "conv_spatial"])
@pytest.mark.parametrize("size", [(8, 8), (15, 32), (32, 15)])
def test_an_image_too_small_to_be_halved_four_times_is_refused_with_a_network_for_it(compose_train, network, size):
    config = compose_train("data=digits", f"network={network}").network
    message = rf"4 convolutions .* at least 16 x 16 pixels, got {size[0]} x {size[1]}; use network=conv_small or mlp"
    for part, arguments in ((config.encoder, {"heads": HEADS}), (config.decoder, {})):
        with pytest.raises(Exception, match=message) as caught:
            instantiate(part, image_shape=(*size, 1), **arguments)
        assert isinstance(caught.value.__cause__, ValueError)


def test_sizes_are_halved_and_rounded_up():
    assert layer_sizes((33, 47, 2), 4) == [(33, 47), (17, 24), (9, 12), (5, 6), (3, 3)]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("network.padding=reflect", r"network\.padding must be one of symmetric, same, got 'reflect'"),
        ("data.output_activation=tanh", r"data\.output_activation must be one of sigmoid, linear, got 'tanh'"),
    ],
)
def test_unknown_words_are_refused_by_key_and_value(build, override, message):
    with pytest.raises(Exception, match=message) as caught:
        build("conv", (32, 32, 3), HEADS, *small("conv", override))
    assert isinstance(caught.value.__cause__, ValueError)


# --- what a pixel is


@pytest.mark.parametrize("network", ["mlp", "conv", "conv_spatial"])
def test_every_pixel_reaches_the_code(build, network):
    # Odd sizes and both paddings would be the first to lose a border.
    for padding in ("symmetric", "same"):
        extra = () if network == "mlp" else (f"network.padding={padding}",)
        encoder, _ = build(network, (17, 20, 2), HEADS, *small(network, *extra))
        x = torch.rand(1, 17, 20, 2, requires_grad=True)
        for parent in list(encoder.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.ReLU):  # a dead unit is no lost pixel
                    setattr(parent, name, nn.Identity())
        encoder(x)["z_e"].square().sum().backward()
        assert (x.grad != 0).all()


@pytest.mark.parametrize(("activation", "low", "high"), [("sigmoid", 0.0, 1.0), ("linear", -math.inf, math.inf)])
@pytest.mark.parametrize("network", ["mlp", "conv", "conv_spatial"])
def test_output_is_a_sigmoid_or_linear(build, network, activation, low, high):
    _, decoder = build(network, (16, 16, 1), HEADS, *small(network, f"data.output_activation={activation}"))
    z = 200 * torch.randn(20, 1, 6)
    output = decoder(z)
    assert low <= output.min()
    assert output.max() <= high
    if activation == "linear":
        assert output.min() < -1
        assert output.max() > 1


@pytest.mark.parametrize("network", ["mlp", "conv", "conv_spatial"])
def test_hidden_layers_are_relus_and_heads_are_linear(build, network):
    shape = (16, 16, 1)
    encoder, decoder = build(network, shape, HEADS, *small(network))
    weighted = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    hidden = len(layers(encoder, *weighted)) - len(HEADS)
    assert len(layers(encoder, nn.ReLU)) == hidden
    # The dense layer of the convolutional decoder calls the function.
    assert len(layers(decoder, nn.ReLU)) + (network == "conv") == len(layers(decoder, *weighted)) - 1
    codes = encoder(torch.rand(200, *shape))
    assert all((code < 0).any() for code in codes.values())


# --- initialisation


@pytest.mark.parametrize("network", ["mlp", "conv", "conv_spatial"])
def test_weights_are_glorot_uniform_and_biases_zero(build, network):
    overrides = (
        () if network == "mlp" else ("network.encoder.channels=[16,32,48,64]", "network.decoder.channels=[64,48,32]")
    )
    encoder, decoder = build(network, (32, 32, 3), {"z_e": 24, "log_var": 40}, *overrides)
    found = layers(nn.ModuleList([encoder, decoder]), nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    assert len(found) == {"mlp": 9, "conv": 11, "conv_spatial": 10}[network]
    for layer in found:
        if isinstance(layer, nn.Linear):
            fans = layer.in_features + layer.out_features
        else:
            fans = 9 * (layer.in_channels + layer.out_channels)
        limit, n = math.sqrt(6 / fans), layer.weight.numel()
        assert layer.weight.abs().max() <= limit * (1 + 1e-6)
        assert layer.weight.abs().max() > limit * (1 - 20 / n)
        assert layer.weight.square().mean().item() == pytest.approx(limit**2 / 3, rel=4.5 * math.sqrt(0.8 / n))
        assert not layer.bias.any()


# --- convolutions


def numpy_same_convolution(x, kernel):
    """TensorFlow's `same` with stride 2: ceil(n / 2) windows; the odd one of the zeros comes last.

    Shapes: x (C, H, W); kernel (O, C, 3, 3).
    """
    sizes = [-(-n // 2) for n in x.shape[1:]]
    total = [max((s - 1) * 2 + 3 - n, 0) for s, n in zip(sizes, x.shape[1:], strict=True)]
    padded = np.pad(x, [(0, 0), *((t // 2, t - t // 2) for t in total)])
    output = np.zeros((len(kernel), *sizes))
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            window = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            output[:, i, j] = (kernel * window).sum((1, 2, 3))
    return output


def numpy_symmetric_convolution(x, kernel):
    """One zero on every side."""
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1)])
    sizes = [(n - 1) // 2 + 1 for n in x.shape[1:]]
    output = np.zeros((len(kernel), *sizes))
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            output[:, i, j] = (kernel * padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]).sum((1, 2, 3))
    return output


EVEN_AND_ODD = [(8, 8), (4, 4), (4, 3), (7, 7), (6, 9), (9, 6), (2, 3), (5, 2)]


@pytest.mark.parametrize("size", EVEN_AND_ODD)
@pytest.mark.parametrize(
    ("padding", "oracle"), [("same", numpy_same_convolution), ("symmetric", numpy_symmetric_convolution)]
)
def test_halving_equals_a_numpy_convolution(padding, oracle, size):
    layer = Halve(3, 4, size, padding).double()
    x = torch.randn(2, 3, *size).double()
    kernel, bias = layer.conv.weight.detach().numpy(), layer.conv.bias.detach().numpy()
    expected = np.stack([oracle(image, kernel) + bias[:, None, None] for image in x.numpy()])
    np.testing.assert_allclose(layer(x).detach(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", EVEN_AND_ODD)
@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_doubling_is_the_adjoint_of_halving(padding, size):
    # <halve(x), y> = <x, double(y)> for one kernel and no bias.
    halve, double = Halve(3, 4, size, padding).double(), Double(4, 3, size, padding).double()
    with torch.no_grad():
        double.conv.weight.copy_(halve.conv.weight)
        halve.conv.bias.zero_()
        double.conv.bias.zero_()
    x = torch.randn(2, 3, *size).double()
    y = torch.randn_like(halve(x))
    assert double(y).shape == x.shape
    torch.testing.assert_close((halve(x) * y).sum(), (x * double(y)).sum())


def test_paddings_agree_on_odd_sizes_and_differ_on_even_ones():
    for size, agree in (((7, 9), True), ((8, 8), False), ((7, 8), False)):
        same, symmetric = Halve(1, 1, size, "same"), Halve(1, 1, size, "symmetric")
        symmetric.load_state_dict(same.state_dict())
        x = torch.randn(1, 1, *size)
        assert torch.allclose(same(x), symmetric(x), atol=1e-6) == agree


# --- pixels


def test_raw_pixels_go_through_unchanged():
    x = torch.rand(3, 8, 6, 2)
    codes = PixelEncoder((8, 6, 2), {"z_e": 1})(x)
    np.testing.assert_array_equal(codes["z_e"], x.numpy().reshape(3, 1, 96))
    assert torch.equal(PixelDecoder((8, 6, 2))(codes["z_e"]), x)


def test_pixels_refuse_a_bottleneck_with_heads_of_its_own():
    with pytest.raises(ValueError, match=r"network=pixels has no heads \['log_var'\]"):
        PixelEncoder((8, 8, 1), {"z_e": 1, "log_var": 1})


def test_every_head_reads_the_same_body():
    encoder = MLPEncoder((4, 4, 1), {"z_e": 3, "log_var": 5}, [8, 6])
    x = torch.rand(2, 4, 4, 1)
    h = encoder.body(x.flatten(1))
    for name, code in encoder(x).items():
        torch.testing.assert_close(code[:, 0], h @ encoder.heads[name].weight.T)


def test_mlp_pixels_come_back_row_by_row():
    decoder = MLPDecoder((2, 3, 2), d=4, hidden=[5], output_activation="linear")
    with torch.no_grad():
        decoder.output[0].weight.zero_()
        decoder.output[0].bias.copy_(torch.arange(12.0))
    np.testing.assert_array_equal(decoder(torch.randn(1, 1, 4))[0].detach(), np.arange(12.0).reshape(2, 3, 2))


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(("height", "width"), [(3, 3), (3, 4), (4, 4)])
def test_a_convolution_as_one_product_is_torchs_own(monkeypatch, padding, height, width):
    layer = Convolution(5, 7, padding).double()
    check_ways(monkeypatch, layer, torch.randn(3, 5, height, width).double())


@pytest.mark.parametrize(("padding", "output_padding"), [(0, (0, 0)), (1, (0, 0)), (1, (1, 0)), (1, (1, 1))])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (2, 2)])
def test_a_transposed_convolution_as_one_product_is_torchs_own(monkeypatch, padding, output_padding, height, width):
    layer = TransposedConvolution(5, 7, padding, output_padding).double()
    check_ways(monkeypatch, layer, torch.randn(3, 5, height, width).double())


def check_ways(monkeypatch, layer, x):
    """Output and gradients are the same by one product and by torch's convolution, which does not know the first."""
    results = []
    for positions in (100, 0):
        monkeypatch.setattr(conv, "FEW_POSITIONS", positions)
        x = x.detach().requires_grad_()
        y = layer(x)
        weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)
        results.append((y, *torch.autograd.grad((weights * y).sum(), [x, *layer.parameters()])))
    assert layer.bias.abs().min() > 0
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
