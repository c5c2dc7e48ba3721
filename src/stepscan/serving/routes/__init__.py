"""The routes: what a request of each does. `ALL` lists them."""

from __future__ import annotations

from stepscan.serving.routes import completions, generation, models, predictions, sessions, status
from stepscan.serving.routes.route import Route

ALL: tuple[Route, ...] = (
    *models.ROUTES,
    *predictions.ROUTES,
    *generation.ROUTES,
    *sessions.ROUTES,
    *completions.ROUTES,
    *status.ROUTES,
)
