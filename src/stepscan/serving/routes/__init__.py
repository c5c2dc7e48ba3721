"""The routes: what a request of each does. `API` lists those of programs, `ALL` also those of the page."""

from __future__ import annotations

from stepscan.serving.routes import completions, generation, inside, models, page, predictions, sessions, status
from stepscan.serving.routes.route import Route

API: tuple[Route, ...] = (
    *models.ROUTES,
    *predictions.ROUTES,
    *inside.ROUTES,
    *generation.ROUTES,
    *sessions.ROUTES,
    *completions.ROUTES,
    *status.ROUTES,
)
ALL: tuple[Route, ...] = (*API, *page.ROUTES)
