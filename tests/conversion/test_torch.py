"""PyTorch modules into packages, held to the module's own answers."""

from pathlib import Path

import numpy as np
import pytest

from modelyard import conversion
from modelyard.conversion import Options
from modelyard.engines import open_model
from modelyard.errors import InvalidInput

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.slow  # real exports


class Pixels(nn.Module):
    """Logits of two classes from [rows, 1, 6, 6]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.dense = nn.Linear(4 * 4 * 4, 2)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.dense(torch.relu(self.conv(x)).flatten(1))


class Sequence(nn.Module):
    """[rows, length, 3] to [rows, 2], of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 8, 2, batch_first=True)
        self.dense = nn.Linear(8, 2)

    def forward(self, seq):  # type: ignore[no-untyped-def]
        return self.dense(self.lstm(seq)[0][:, -1])


class Eigenvalues(nn.Module):
    """What ONNX has no operator for."""

    def forward(self, x):  # type: ignore[no-untyped-def]
        return torch.linalg.eigvalsh(x @ x.transpose(1, 2))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_an_image_model_answers_pixels_as_the_module_answers_its_tensor(tmp_path: Path) -> None:
    net = Pixels()
    made = conversion.package(
        net,
        tmp_path / "p",
        Options(task="image-classification", labels=("a", "b")),
        example=torch.rand(3, 1, 6, 6),
    )
    assert made.format == "onnx"
    assert "pixels are divided by 255: the example's values lie in 0..1" in made.notes
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 1), dtype=np.uint8)
    found = open_model(tmp_path / "p").predict({"image": pixels})["probabilities"]
    with torch.no_grad():
        expected = net(torch.from_numpy(pixels / 255.0).float().permute(0, 3, 1, 2)).softmax(1).numpy()
    assert np.allclose(found, expected, atol=1e-6)


def test_a_recurrent_module_is_served_at_lengths_that_it_was_not_exported_with(tmp_path: Path) -> None:
    net = Sequence()
    made = conversion.package(
        net, tmp_path / "p", Options(free_axes={"seq": (1,)}), example=torch.rand(1, 12, 3)
    )
    assert (made.format, made.manifest.golden.sets) == ("onnx", 3)  # type: ignore[union-attr]
    assert made.manifest.tensors.inputs[0].shape == (-1, -1, 3)
    rows = np.random.default_rng(0).random((2, 31, 3), dtype=np.float32)
    found = open_model(tmp_path / "p").predict({"seq": rows})["output"]
    assert np.allclose(found, net(torch.from_numpy(rows)).detach().numpy(), atol=1e-6)


def test_what_onnx_cannot_say_is_served_by_torch_and_said_so(tmp_path: Path) -> None:
    made = conversion.package(Eigenvalues(), tmp_path / "p", example=torch.rand(4, 3, 3))
    assert made.format == "pt2"
    assert any(note.startswith("not as onnx: ") and "eigvalsh" in note for note in made.notes)
    assert not any("\x1b" in note or "/" in note.partition(":")[2] for note in made.notes if "not as" in note)
    rows = np.random.default_rng(0).random((2, 3, 3), dtype=np.float32)
    found = open_model(tmp_path / "p").predict({"x": rows})["output"]
    assert np.allclose(found, np.linalg.eigvalsh(rows @ rows.transpose(0, 2, 1)), atol=1e-5)


def test_a_pt2_file_is_brought_as_onnx_where_it_can(tmp_path: Path) -> None:
    rows = torch.export.Dim("rows")
    net = Pixels().eval()
    program = torch.export.export(net, (torch.rand(2, 1, 6, 6),), dynamic_shapes=({0: rows},))
    torch.export.save(program, tmp_path / "net.pt2")
    made = conversion.package_file(tmp_path / "net.pt2", "pt2", tmp_path / "p")
    asked = np.random.default_rng(0).random((3, 1, 6, 6), dtype=np.float32)
    found = open_model(tmp_path / "p").predict({made.manifest.tensors.inputs[0].name: asked})
    assert np.allclose(next(iter(found.values())), net(torch.from_numpy(asked)).detach().numpy(), atol=1e-6)


def test_a_program_of_one_batch_size_is_refused_with_the_way_out(tmp_path: Path) -> None:
    program = torch.export.export(Pixels().eval(), (torch.rand(1, 1, 6, 6),))
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(InvalidInput, match=r"one batch size alone.*dynamic_shapes"):
        conversion.package_file(tmp_path / "net.pt2", "pt2", tmp_path / "p")


def test_several_inputs_and_outputs_keep_their_names_and_order(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, first, second):  # type: ignore[no-untyped-def]
            return {"product": first * second, "sum": (first + second).sum(-1)}

    example = {"second": torch.rand(2, 3), "first": torch.rand(2, 3)}
    made = conversion.package(Two(), tmp_path / "p", example=example)
    assert [t.name for t in made.manifest.tensors.inputs] == ["first", "second"]
    assert [t.name for t in made.manifest.tensors.outputs] == ["product", "sum"]


@pytest.mark.parametrize(
    ("example", "options", "message"),
    [
        (None, Options(), "example=x_test"),
        (torch.rand(2, 1, 5, 5), Options(), r"does not take this example.*float32 \[4, 1, 5, 5\]"),
        (torch.rand(0, 1, 6, 6), Options(), "one or more rows"),
        ({"y": torch.rand(2, 1, 6, 6)}, Options(), "forward.. has not"),
        (torch.rand(2, 1, 6, 6), Options(free_axes={"z": (1,)}), "free_axes names inputs"),
        (torch.rand(2, 1, 6, 6), Options(free_axes={"x": (4,)}), "1 to 3"),
        (
            torch.rand(2, 1, 6, 6),
            Options(task="image-classification", labels=("a",)),
            "labels are not as many",
        ),
        (torch.randn(2, 1, 6, 6) * 99, Options(task="image-classification"), "nothing says how pixels"),
        (torch.rand(2, 1, 6, 6), Options(task="tabular-regression"), "one input .rows, features"),
        (torch.rand(2, 1, 6, 6), Options(task="nonsense"), "unknown task 'nonsense'"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    tmp_path: Path, example: object, options: Options, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        conversion.package(Pixels(), tmp_path / "p", options, example=example)
    assert not (tmp_path / "p").exists()


def test_the_owners_module_stays_as_it_was(tmp_path: Path) -> None:
    net = Pixels().train()
    conversion.package(net, tmp_path / "p", example=torch.rand(2, 1, 6, 6))
    assert net.training
