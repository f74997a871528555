"""`PortfolioNetwork`: from windows of features to the weights that a portfolio aims at."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from networks.accounting import drift
from networks.predictors.base import Predictor


class Aim(NamedTuple):
    """What the network wants at each of L rows.

    Attributes:
        weights: `[B, L, A+1]` float64, cash last, sum 1: where the portfolio should end up.
        rate: `[B, L, A]` (long-short) or `[B, L, 1]` (long-only) float64 in (0, 1), the share of
            the way there that is traded at once; None: the whole way.
    """

    weights: Tensor
    rate: Tensor | None


class Moves(NamedTuple):
    """What the market does to a portfolio in L steps; None: nothing of the kind.

    Attributes:
        before, after: `[B, L, A+1]` growth of the legs before and after the trade.
        free: `[B, L, A]` bool, what can be traded at the execution.
        settles: `[B, L, A]` bool, what is delisted in the step: at the end of its first leg that is
            there, its value becomes cash (`envs.market.legs.Legs`).
    """

    before: Tensor | None = None
    after: Tensor | None = None
    free: Tensor | None = None
    settles: Tensor | None = None

    def at_trade(self, held: Tensor, t: int) -> Tensor:
        """`[B, A+1]` what is held just before the trade of step t."""
        if self.before is None:
            return held
        return self._settled(drift(held, self.before[:, t])[0], t)

    def carry(self, target: Tensor, t: int) -> Tensor:
        """`[B, A+1]` what is held at the decision after step t."""
        if self.after is None:
            return target
        held = drift(target, self.after[:, t])[0]
        return held if self.before is not None else self._settled(held, t)

    def _settled(self, weights: Tensor, t: int) -> Tensor:
        if self.settles is None:
            return weights
        assets = torch.where(self.settles[:, t], 0.0, weights[:, :-1])
        return torch.cat([assets, 1.0 - assets.sum(dim=-1, keepdim=True)], dim=-1)


class PortfolioNetwork(nn.Module):
    """The encoder of any predictor, with heads that name weights instead of forecasts.

    Long-only weights are a softmax over the scores of assets and of cash. Long-short weights are
    tanh of the score, times the weight of a full position that the caller gives (volatility
    scaling), cut to a gross leverage as a whole. With `patient` the network also says how much of
    the way to its aim is worth its cost now: trading part of the way towards an aim is the form of
    the optimal policy under quadratic costs (Garleanu and Pedersen 2013).

    Args:
        predictor: its `encode` or `encode_sequence` is used, its forecast heads are not.
        short: long-short, else long-only. gross: largest sum of |weights| where `short`.
        patient: see above. first_rate: the share that is traded before any training.
        joint: every asset is read with the features of all (`joint_inputs`), for which the
            predictor must have been made. Only then can the network tell assets apart.
        memory: the score of an asset also reads the weight held in it, by one number for all, as
            the last layer of EIIE does (Jiang, Xu and Liang 2017, portfolio vector memory).
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        short: bool,
        gross: float = 1.0,
        patient: bool = True,
        first_rate: float = 0.1,
        joint: bool = False,
        memory: bool = False,
    ) -> None:
        super().__init__()
        self.predictor, self.short, self.gross, self.joint = predictor, short, gross, joint
        self.memory = nn.Parameter(torch.zeros(())) if memory else None
        # What is not trained must not move by weight decay, nor stand in the file of the model.
        self.predictor.heads = nn.Identity()  # type: ignore[assignment]
        width = predictor.width
        self.score = nn.Linear(width, 1)
        self.cash = None if short else nn.Linear(width, 1)
        self.rate = nn.Linear(width, 1) if patient else None
        if self.rate is not None:
            nn.init.constant_(self.rate.bias, float(torch.logit(torch.tensor(first_rate))))

    @property
    def limit(self) -> float:
        """The gross leverage to which a trade is cut; long-only weights need no such limit."""
        return self.gross if self.short else math.inf

    def encode(self, x: Tensor) -> Tensor:
        """`[B, window - 1 + L, A, F] -> [B, L, A, width]`: one answer for each row with a window.

        Those that read rows in order see, at every row, all rows of the piece before it; at its
        first answer and in a decision that is exactly one window.
        """
        if self.joint:
            x = joint_inputs(x)
        window = self.predictor.shape.window
        if self.predictor.ordered:
            return self.predictor.encode_sequence(x)[:, window - 1 :]
        windows = x.unfold(1, window, 1).movedim(-1, 2)
        batch, rows = windows.shape[:2]
        return self.predictor.encode(windows.flatten(0, 1)).unflatten(0, (batch, rows))

    def forward(
        self,
        x: Tensor,
        full: Tensor | None,
        tradable: Tensor | None,
        held: Tensor | None = None,
    ) -> Aim:
        """The aims at the last L rows of x.

        Args:
            x: `[B, window - 1 + L, A, F]`. full: `[B, L, A]` weight of a full position, long-short
                only. tradable: `[B, L, A]` bool; what is not has weight 0. None: all is.
            held: `[B, L, A+1]` weights at the decisions, read where there is a `memory`.
        """
        return self._aim(self.encode(x), full, tradable, held)

    def _aim(
        self, encoded: Tensor, full: Tensor | None, tradable: Tensor | None, held: Tensor | None
    ) -> Aim:
        score = self.score(encoded).squeeze(-1).double()
        if self.memory is not None:
            assert held is not None
            score = score + self.memory.double() * held[..., :-1]
        if self.short:
            assert full is not None
            weights = torch.tanh(score) * full
            if tradable is not None:
                weights = weights * tradable
            total = weights.abs().sum(dim=-1, keepdim=True)
            weights = weights * (self.gross / total.clamp_min(self.gross))
            weights = torch.cat([weights, 1.0 - weights.sum(dim=-1, keepdim=True)], dim=-1)
            return Aim(weights, self._rate(encoded))
        assert self.cash is not None
        if tradable is not None:
            score = score.masked_fill(~tradable, -torch.inf)
        market = encoded.mean(dim=-2)
        weights = torch.cat([score, self.cash(market).double()], dim=-1).softmax(dim=-1)
        return Aim(weights, self._rate(market.unsqueeze(-2)))

    def follow(
        self,
        x: Tensor,
        held: Tensor | None,
        moves: Moves,
        full: Tensor | None,
        tradable: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """`(targets [B, L, A+1], held [B, A+1])`: the trades of a portfolio that does as it says.

        Args:
            held: `[B, A+1]` at the first decision; None: what the network wants there, which is
                returned. moves: what the market does to it. others: as `forward`.
        """
        encoded = self.encode(x)
        if self.memory is None:
            aim = self._aim(encoded, full, tradable, None)
            start = aim.weights[:, 0] if held is None else held
            return targets(aim, start, moves, self.limit), start

        def at(whole: Tensor | None, t: int) -> Tensor | None:
            return None if whole is None else whole[:, t : t + 1]

        def aim_at(t: int, held: Tensor) -> Aim:
            return self._aim(encoded[:, t : t + 1], at(full, t), at(tradable, t), held[:, None])

        if held is None:
            cash = torch.zeros_like(encoded[:, 0, :, 0], dtype=torch.float64)
            cash = torch.cat([cash, torch.ones_like(cash[:, :1])], dim=-1)
            held = aim_at(0, cash).weights[:, 0]
        start, made = held, []
        for t in range(encoded.shape[1]):
            move = Moves(*(at(whole, t) for whole in moves))
            made.append(targets(aim_at(t, held), held, move, self.limit)[:, 0])
            held = move.carry(made[-1], 0)
        return torch.stack(made, dim=1), start

    def _rate(self, encoded: Tensor) -> Tensor | None:
        if self.rate is None:
            return None
        return torch.sigmoid(self.rate(encoded).squeeze(-1).double())


def joint_inputs(x: Tensor) -> Tensor:
    """`[B, T, A, F] -> [B, T, A, A * F + A]`: the features of all assets, and which one it is.

    For a few assets whose laws differ. Among many real ones a network that can tell them apart
    learns which went up in the training years.
    """
    batch, rows, assets, _ = x.shape
    everything = x.flatten(2).unsqueeze(2).expand(-1, -1, assets, -1)
    which = torch.eye(assets, dtype=x.dtype, device=x.device).expand(batch, rows, -1, -1)
    return torch.cat([everything, which], dim=-1)


def towards(held: Tensor, aim: Tensor, rate: Tensor | None, gross: float = math.inf) -> Tensor:
    """`[..., A+1]` the target of a trade from `held` towards `aim`; cash is what is left over.

    Prices can carry what is held beyond the gross leverage; the target is cut back to it as a
    whole, as the action map does.
    """
    if rate is None:
        return aim
    assets = held[..., :-1] + rate * (aim[..., :-1] - held[..., :-1])
    if gross < math.inf:
        total = assets.abs().sum(dim=-1, keepdim=True)
        assets = assets * (gross / total.clamp_min(gross))
    return torch.cat([assets, 1.0 - assets.sum(dim=-1, keepdim=True)], dim=-1)


def targets(aim: Aim, held: Tensor, moves: Moves, gross: float = math.inf) -> Tensor:
    """`[B, L, A+1]` the target of every trade of a portfolio that follows these aims.

    Args:
        held: `[B, A+1]` at the first decision. moves: what the market does to it.
        gross: as in `towards`; inf: long-only.
    """
    if aim.rate is None and moves.free is None:
        return aim.weights
    made = []
    for t in range(aim.weights.shape[1]):
        rate = None if aim.rate is None else aim.rate[:, t]
        target = towards(held, aim.weights[:, t], rate, gross)
        if moves.free is not None:
            target = _executed(moves.at_trade(held, t), target, moves.free[:, t], gross)
        made.append(target)
        held = moves.carry(target, t)
    return torch.stack(made, dim=1)


def _executed(drifted: Tensor, target: Tensor, free: Tensor, gross: float) -> Tensor:
    """The target as far as it can be traded: what is stuck stays, the rest is shared out.

    As the kernel has it (`trade_one_nb`), but for the share of the value that the costs take.
    """
    stuck = torch.where(free, 0.0, drifted[:, :-1])
    wished = torch.where(free, target[:, :-1], 0.0)
    if gross < math.inf:
        room = gross - stuck.abs().sum(dim=-1, keepdim=True)
        share = (room / wished.abs().sum(dim=-1, keepdim=True).clamp_min(1e-12)).clamp(0.0, 1.0)
    else:
        # Cash is a wish, too: what is not stuck keeps its proportions.
        whole = wished.sum(dim=-1, keepdim=True) + target[:, -1:]
        share = (1.0 - stuck.sum(dim=-1, keepdim=True)) / whole.clamp_min(1e-12)
    assets = stuck + wished * share
    return torch.cat([assets, 1.0 - assets.sum(dim=-1, keepdim=True)], dim=-1)
