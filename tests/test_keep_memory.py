"""Large tensors reuse memory: the C library takes the order, and no number changes.

What it is worth is measured (`python -m benchmarks.run networks`), not asserted.
"""

import platform

import torch

from networks.memory import keep_memory


def test_the_order_is_taken_where_there_is_glibc_and_no_number_changes():
    torch.manual_seed(0)
    x = torch.randn(64, 60, 45)
    lstm = torch.nn.LSTM(45, 64, batch_first=True)
    before = lstm(x)[0]
    assert keep_memory() == (platform.libc_ver()[0] == "glibc")
    assert torch.equal(lstm(x)[0], before)
