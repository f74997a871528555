"""The leak audit, piece by piece; `experiments.audit` is its command line."""
