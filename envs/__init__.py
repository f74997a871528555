"""The market and what an agent sees of it. Importing it registers `envs:Portfolio-v0`, no more."""

from gymnasium.envs.registration import register

register(
    id="Portfolio-v0",
    entry_point="envs.portfolio:PortfolioEnv",
    vector_entry_point="envs.vector:PortfolioVectorEnv",
)
