import threading

import pytest
import torch

from src_models import selective_scan as scans
from src_models.selective_scan import selective_scan

SHAPES = [  # batch, rows, groups, states, tokens
    (1, 1, 1, 1, 1),
    (2, 12, 3, 5, 37),
    (1, 130, 1, 16, 50),
    (3, 66, 2, 3, 16),
    (1, 512, 4, 16, 49),
]


@pytest.fixture(autouse=True)
def two_threads():
    """Scan in two threads, also where the tests run with one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def inputs(shape, dtype=torch.float32, seed=0):
    batch, rows, groups, states, tokens = shape
    g = torch.Generator().manual_seed(seed)

    def normal(*size):
        return torch.randn(*size, generator=g, dtype=torch.float64)

    tensors = (
        normal(batch, rows, tokens),
        normal(batch, rows, tokens),
        -normal(rows, states).exp(),
        normal(batch, groups, states, tokens),
        normal(batch, groups, states, tokens),
        normal(rows),
        normal(rows),
    )
    return [t.to(dtype).requires_grad_() for t in tensors]


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max().clamp(min=1e-12)).item()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("softplus", [True, False])
def test_numba_equals_reference_forward_and_backward(shape, softplus):
    ours, theirs = inputs(shape), inputs(shape)
    if not softplus:  # steps must be positive then, or the scan grows without bound
        ours[1].data.abs_(), theirs[1].data.abs_()
        ours[6].data.abs_(), theirs[6].data.abs_()
    y = selective_scan(*ours, delta_softplus=softplus, backend="numba")
    z = selective_scan(*theirs, delta_softplus=softplus, backend="reference")
    assert relative(y, z) < 1e-5
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    (y * weights).sum().backward()
    (z * weights).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        assert relative(a.grad, b.grad) < 1e-4


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("step", [1e-8, 1e-5, 1e-2, 1.0, 20.0])
def test_gradients_of_tiny_steps_are_right(backend, step):
    """One minus the exponential of a step of 1e-8 is 0 in float32."""
    exact = inputs((2, 20, 2, 3, 40), torch.float64)
    with torch.no_grad():  # steps within a factor of two
        exact[1].copy_((step * (1.5 + exact[1].tanh() / 2)).expm1().log())
        exact[6].mul_(1e-3)
        for tensor in exact:  # as float32 knows them
            tensor.copy_(tensor.float())
    # As float32 adds them, so that the arithmetic alone is compared.
    with torch.no_grad():
        total = (exact[1].float() + exact[6].float()[:, None]).double()
        exact[1].copy_(total)
        exact[6].zero_()
    single = [t.detach().float().requires_grad_() for t in exact]
    scanned = selective_scan(*single, delta_softplus=True, backend=backend)
    expected = selective_scan(*exact, delta_softplus=True, backend="reference")
    weights = torch.rand(expected.shape, generator=torch.Generator().manual_seed(1))
    (scanned * weights).sum().backward()
    (expected * weights).sum().backward()
    for which in (1, 6):  # delta and its bias
        assert relative(single[which].grad, exact[which].grad) < 1e-5


def test_reference_gradients_are_right():
    assert torch.autograd.gradcheck(
        lambda *t: selective_scan(*t, delta_softplus=True, backend="reference"),
        inputs((2, 4, 2, 3, 5), torch.float64),
    )


def test_reference_follows_the_recurrence():
    u, delta, A, B, C, D, _ = inputs((1, 2, 1, 2, 3), torch.float64)
    y = selective_scan(u, delta, A, B, C, D, backend="reference")
    for row in range(2):
        h = torch.zeros(2, dtype=torch.float64)
        for t in range(3):
            step = delta[0, row, t]
            h = torch.exp(step * A[row]) * h + step * B[0, 0, :, t] * u[0, row, t]
            expected = (C[0, 0, :, t] * h).sum() + D[row] * u[0, row, t]
            assert torch.isclose(y[0, row, t], expected)


def test_numba_takes_strong_decay_and_other_dtypes():
    u, delta, A, B, C, D, bias = inputs((1, 4, 1, 2, 20))
    hard = A * 1e4  # exp underflows: the state must be forgotten, not become NaN
    y = selective_scan(u, delta, hard, B, C, D, bias, True, backend="numba")
    z = selective_scan(u, delta, hard, B, C, D, bias, True, backend="reference")
    assert relative(y, z) < 1e-5
    half = selective_scan(*(t.bfloat16() for t in (u, delta, A, B, C, D)), backend="numba")
    assert half.dtype == torch.bfloat16
    assert torch.isfinite(half).all()


def test_numba_keeps_nan_visible():
    u, delta, A, B, C, D, bias = inputs((1, 2, 1, 2, 8))
    with torch.no_grad():
        u[0, 1, 4] = float("nan")
    y = selective_scan(u, delta, A, B, C, D, bias, True, backend="numba")
    assert torch.isfinite(y[0, 0]).all()
    assert torch.isnan(y[0, 1, 4:]).all()


def test_numba_may_run_in_several_threads_at_once():
    arguments = [t.detach() for t in inputs((2, 128, 2, 16, 200))]
    expected = selective_scan(*arguments, delta_softplus=True)
    results = []

    def work():
        results.extend(selective_scan(*arguments, delta_softplus=True) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 15
    assert all(torch.equal(r, expected) for r in results)


def test_wrong_shapes_are_named():
    u, delta, A, B, C, D, bias = inputs((1, 4, 2, 3, 5))
    with pytest.raises(ValueError, match="delta must both"):
        selective_scan(u, delta[..., :4], A, B, C, D)
    with pytest.raises(ValueError, match=r"A must be \(4, N\)"):
        selective_scan(u, delta, A[:3], B, C, D)
    with pytest.raises(ValueError, match="B and C"):
        selective_scan(u, delta, A, B[..., :2], C, D)
    with pytest.raises(ValueError, match=r"delta_bias must be \(4,\)"):
        selective_scan(u, delta, A, B, C, D, bias[:2])


def test_back_end_can_be_forced(monkeypatch):
    assert scans.choose_backend("cpu") == "numba"
    assert scans.choose_backend("mps") == "reference"
    with pytest.raises(ValueError, match=r"'numba' does not run on 'cuda' here: it needs cpu"):
        scans.choose_backend("cuda", "numba")
    with pytest.raises(ValueError, match=r"'triton' does not run on 'cpu'"):
        scans.choose_backend("cpu", "triton")
    monkeypatch.setenv("SEGLITE_SCAN", "reference")
    assert scans.choose_backend("cpu") == "reference"
    with pytest.raises(ValueError, match="No scan back end 'fast'"):
        scans.choose_backend("cpu", "fast")


def test_a_fresh_cache_says_that_it_compiles(tmp_path):
    """In a new process: True before the first scan, False after it and in the next process."""
    import os
    import subprocess
    import sys

    code = (
        "from src_models.selective_scan import needs_compiling, warm_up\n"
        "print(needs_compiling()); warm_up(); print(needs_compiling(), needs_compiling(True))"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    printed = [
        subprocess.check_output([sys.executable, "-c", code], env=environment, text=True).split()
        for _ in range(2)
    ]
    assert printed == [["True", "False", "True"], ["False", "False", "True"]]


INTERPRETED = """
import sys; sys.path.insert(0, {folder!r})
from test_selective_scan import inputs, relative, selective_scan
for shape in ((2, 4, 2, 3, 150), (1, 2, 1, 4, 128), (1, 1, 1, 1, 1)):
    ours, theirs = inputs(shape), inputs(shape)
    y = selective_scan(*ours, delta_softplus=True, backend="triton")
    z = selective_scan(*theirs, delta_softplus=True, backend="reference")
    (y * y).sum().backward(), (z * z).sum().backward()
    backward = max(relative(a.grad, b.grad) for a, b in zip(ours, theirs))
    print(relative(y, z) < 1e-4 and backward < 1e-3)
"""


def test_triton_kernels_in_the_interpreter():
    """No GPU needed: the kernels' arithmetic, not their speed or their compilation."""
    import os
    import subprocess
    import sys
    from pathlib import Path

    # In a folder of its own, see the Makefile: it crashes beside a software OpenGL.
    folder = Path(sys.prefix) / "triton"
    if not folder.is_dir():
        pytest.skip(f"Triton is not here ({folder}), 'make setup' puts it there on Linux")
    code = INTERPRETED.format(folder=str(Path(__file__).parent))
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(folder)}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert printed.split() == ["True"] * 3


@pytest.mark.parametrize("backend", ["triton", "mamba"])
@pytest.mark.parametrize("shape", SHAPES)
def test_cuda_equals_reference_forward_and_backward(shape, backend):
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    pytest.importorskip({"triton": "triton", "mamba": "mamba_ssm"}[backend])
    ours = [t.detach().cuda().requires_grad_() for t in inputs(shape)]
    theirs = [t.detach().cuda().requires_grad_() for t in inputs(shape)]
    y = selective_scan(*ours, delta_softplus=True, backend=backend)
    z = selective_scan(*theirs, delta_softplus=True, backend="reference")
    assert relative(y, z) < 1e-4
    (y * y).sum().backward()
    (z * z).sum().backward()
    for a, b in zip(ours, theirs, strict=True):  # the gradient of A is 0 after a single step
        assert (a.grad - b.grad).abs().max() < 1e-3 * b.grad.abs().max() + 1e-6
