"""Runs made by tests leave no lines in anybody's ledger; those about the ledger name their own."""

import os

os.environ["TRADEWIND_LEDGER"] = ""
