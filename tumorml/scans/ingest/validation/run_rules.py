"""Run rules with Great Expectations and write their Data Docs."""

from __future__ import annotations

import logging
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tumorml.scans.ingest.validation.rules import Rule

if TYPE_CHECKING:
    import pandas


def docs_context(docs: Path) -> Any:
    """Return an ephemeral context whose only Data Docs site is a folder."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations

    # The import sets the level of this logger.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = great_expectations.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    context.delete_data_docs_site("local_site")
    site = {
        "class_name": "SiteBuilder",
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site("docs", site)
    return context


def run_rules(
    context: Any, name: str, frame: pandas.DataFrame, rules: list[Rule], when: datetime
) -> list[dict[str, Any]]:
    """Check a table and write its page of the Data Docs.

    Args:
        context: From `docs_context`.
        name: Name of the suite.
        frame: One row per file or batch, with the column ``path``.
        rules: The rules to check.
        when: The time in the names of the pages; the same time gives the same names.

    Returns:
        The result of each rule, in the order of the rules.

    Raises:
        RuntimeError: An expectation raised an exception.
    """
    import great_expectations as gx

    for rule in rules:
        rule.expectation.meta = {"rule": rule.name}
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    definition = gx.ValidationDefinition(
        name=name,
        data=asset.add_batch_definition_whole_dataframe("all"),
        suite=context.suites.add(
            gx.ExpectationSuite(name=name, expectations=[rule.expectation for rule in rules])
        ),
    )
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[context.validation_definitions.add(definition)],
        actions=[gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=["docs"])],
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": ["path"],
        },
    )
    run = context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": frame}, run_id=gx.RunIdentifier(name, when)
    )
    (validated,) = run.run_results.values()
    for result in validated.results:
        if not result.success and "unexpected_count" not in result.result:
            raise RuntimeError(f"an expectation could not be evaluated: {result.exception_info}")
    # Great Expectations returns the results in another order.
    by_rule = {
        result.expectation_config.meta["rule"]: {"success": result.success, **result.result}
        for result in validated.results
    }
    return [by_rule[rule.name] for rule in rules]
