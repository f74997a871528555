"""Large tensors reuse memory: the C library is told so, and no number changes."""

import platform
import resource

import pytest
import torch

from networks.memory import keep_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc knows mallopt")
def test_large_tensors_do_not_ask_the_system_for_fresh_pages_each_time():
    assert keep_memory()
    pages = 32_000_000 // resource.getpagesize()
    torch.ones(8_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(8_000_000)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    # Without it, every one of the ten would fault on all of its pages.
    assert faults < 2 * pages


def test_no_number_changes():
    torch.manual_seed(0)
    x = torch.randn(64, 60, 45)
    lstm = torch.nn.LSTM(45, 64, batch_first=True)
    before = lstm(x)[0]
    keep_memory()
    assert torch.equal(lstm(x)[0], before)
