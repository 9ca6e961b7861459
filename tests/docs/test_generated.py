"""Documentation that is generated is up to date."""

from tests.docs.generated import API, AWS, CONFIGURATION, COSTS, api, aws, configuration, costs


def test_the_configuration_page_lists_the_settings_there_are() -> None:
    assert CONFIGURATION.read_text() == configuration(), "run: python -m tests.docs"


def test_the_page_on_the_api_has_the_operations_and_the_errors_that_there_are() -> None:
    assert API.read_text() == api(), "run: python -m tests.docs"


def test_the_aws_page_shows_the_policy_that_the_tests_run_under() -> None:
    assert AWS.read_text() == aws(), "run: python -m tests.docs"


def test_the_page_on_costs_has_what_the_prices_make_of_what_was_counted() -> None:
    assert COSTS.read_text() == costs(), "run: python -m tests.docs"
