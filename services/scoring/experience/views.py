"""Figures in schema bi, as they are now: a view of each, of every tenant that the role sees."""

from services.chassis.postgres import Connection
from services.scoring.derived.views import LAST_POSITION
from services.scoring.experience import FIGURES
from services.scoring.experience.figure import Figure, rows

COLUMNS = {
    "tenant": "Who it belongs to.",
    "formula_version": "The formula with its version.",
}


def _view(figure: Figure) -> str:
    told = rows(figure, "of_tenant.tenant", str(LAST_POSITION), "NULL::timestamptz")
    return f"""
CREATE VIEW {figure.name} WITH (security_invoker = true) AS
SELECT of_tenant.tenant, told.*, '{figure.formula_version}'::text AS formula_version
  FROM tenant AS of_tenant CROSS JOIN LATERAL ({told}) AS told
"""  # noqa: S608  # literals of FIGURES


TEXTS = [_view(figure) for figure in FIGURES]


async def install(tx: Connection) -> None:
    """Makes the views anew."""
    for figure, text in zip(FIGURES, TEXTS, strict=True):
        await tx.execute(f"DROP VIEW IF EXISTS {figure.name}")
        await tx.execute(text)
        await tx.execute(f"COMMENT ON VIEW {figure.name} IS {_quoted(figure.question)}")
        own = {name: each.meaning for name, each in [*figure.keys.items(), *figure.columns.items()]}
        for name, meaning in (COLUMNS | own).items():
            await tx.execute(f"COMMENT ON COLUMN {figure.name}.{name} IS {_quoted(meaning)}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
