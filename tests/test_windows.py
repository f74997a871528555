"""Windows are cut when they are needed; batches depend on the seed and the epoch alone."""

import gc
import tracemalloc
from itertools import chain

import numpy as np
import pytest
import torch

from networks.targets import Targets, make_targets
from networks.windows import BatchSampler, WindowDataset, mixed_seed

T, A, F, WINDOW = 90, 3, 4, 10


@pytest.fixture
def targets():
    rng = np.random.default_rng(1)
    return make_targets(np.exp(np.cumsum(0.02 * rng.standard_normal((T, A)), axis=0)))


def make_panel(rows=T, assets=A, features=F):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, assets, features), np.float32)


def test_a_batch_holds_the_rows_up_to_the_decision_and_its_targets(targets):
    panel, rows = make_panel(), np.array([9, 30, 31, 60])
    batch = WindowDataset(panel, rows, WINDOW, targets)[[3, 0]]
    for k, t in enumerate((60, 9)):
        assert batch.x[k].numpy().tolist() == panel[t - WINDOW + 1 : t + 1].tolist()
        np.testing.assert_array_equal(batch.direction[k], targets.direction[t])
        np.testing.assert_array_equal(batch.expected_return[k], targets.expected_return[t])
        np.testing.assert_array_equal(batch.log_volatility[k], targets.log_volatility[t])
    assert batch.rows.tolist() == [60, 9]
    one = WindowDataset(panel, rows, WINDOW, targets)[1]
    assert one.x.shape == (1, WINDOW, A, F) and one.rows.tolist() == [30]


def test_the_panel_is_shared_and_windows_are_never_kept(targets):
    panel = make_panel(4000, 10, 45)
    panel.setflags(write=False)
    blank = Targets(
        np.zeros((4000, 10), np.int64),
        *(np.zeros((4000, 10, 3), kind) for kind in (np.float32, np.float64)),
        *(np.zeros((4000, 10), kind) for kind in (np.float32, np.float64)),
        21,
    )
    rows = np.arange(60, 3979)
    batches = list(BatchSampler(len(rows), 32, seed=0))
    before, most = tensor_bytes(), 0
    datasets = [WindowDataset(panel, rows, 60, blank) for _ in range(3)]
    for k, index in enumerate(batches):
        datasets[0][index]
        if k % 40 == 0:
            most = max(most, tensor_bytes() - before)
    tracemalloc.start()
    try:
        seen = [datasets[1][index].rows for index in batches]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sorted(torch.cat(seen).tolist()) == rows.tolist()
    # Windows as copies would be 60 panels of 7.2 MB; first the memory of torch, then NumPy's.
    inputs = panel.nbytes + sum(part.nbytes for part in blank[:-1])
    assert panel.nbytes > 7e6 and most < inputs + 1e6 and peak < 1e6
    for dataset in datasets:
        assert dataset.panel.data_ptr() == panel.__array_interface__["data"][0]


def tensor_bytes():
    """Memory of all tensors that are alive, each storage once."""
    alive = [thing for thing in gc.get_objects() if type(thing) is torch.Tensor]
    return sum(
        {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in alive}.values()
    )


def test_a_window_sees_nothing_after_its_row(targets):
    panel = make_panel()
    changed = panel.copy()
    changed[41:] = 1e9
    rows = np.arange(9, 41)
    one, two = (WindowDataset(p, rows, WINDOW, targets)[range(32)].x for p in (panel, changed))
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("rows", "message"),
    [([8, 20], "rows run from 8 to 20"), ([9, T], "end at 9 to 89"), ([], "list of decision rows")],
)
def test_rows_without_a_window_are_refused(targets, rows, message):
    with pytest.raises(ValueError, match=message):
        WindowDataset(make_panel(), rows, WINDOW, targets)


def test_wrong_panels_are_refused(targets):
    with pytest.raises(ValueError, match="float32"):
        WindowDataset(make_panel().astype(np.float64), [20], WINDOW, targets)
    with pytest.raises(ValueError, match="same rows and assets"):
        WindowDataset(make_panel(assets=2), [20], WINDOW, targets)


def test_every_epoch_has_an_order_of_its_own_that_can_be_had_again():
    def orders(seed, epoch):
        sampler = BatchSampler(50, 8, seed)
        sampler.set_epoch(epoch)
        return [index.tolist() for index in sampler]

    assert orders(3, 5) == orders(3, 5)
    assert sorted(chain(*orders(3, 5))) == list(range(50))
    # Seed 1 in epoch 0 is not seed 0 in epoch 1.
    keys = [(s, e) for s in range(4) for e in range(4)]
    assert len({str(orders(*key)) for key in keys}) == len(keys)
    assert len({mixed_seed(*key) for key in keys}) == len(keys)
    assert list(chain(*BatchSampler(50, 8, None))) == list(range(50))


@pytest.mark.parametrize(("n", "batch", "world"), [(50, 8, 2), (49, 8, 2), (30, 7, 3), (16, 16, 4)])
def test_processes_share_the_batches_of_one(n, batch, world):
    alone = [set(index.tolist()) for index in BatchSampler(n, batch, 1)]
    parts = [
        [index.tolist() for index in BatchSampler(n, batch, 1, rank, world)]
        for rank in range(world)
    ]
    assert len({len(part) for part in parts}) == 1
    for k, together in enumerate(zip(*parts, strict=True)):
        assert all(together), "every process has something in every batch"
        assert set(chain(*together)) == alone[k]
        assert len(list(chain(*together))) == len(alone[k])
    assert len(alone) - len(parts[0]) == (0 < n % batch < world)
