"""docs/lifecycle.md shows the machine as it is."""

from pathlib import Path

from supervisor.core.diagram import mermaid
from supervisor.core.lifecycle import TABLE
from supervisor.core.machine import ANNOUNCED

PAGE = Path(__file__).parents[3] / "docs" / "lifecycle.md"


def test_the_page_holds_the_diagram_of_the_table() -> None:
    assert f"```mermaid\n{mermaid()}```\n" in PAGE.read_text(), (
        "stale: paste the output of `python -m supervisor.core.diagram` into docs/lifecycle.md"
    )


def test_every_state_has_its_row_and_its_record_and_is_explained_on_the_page() -> None:
    assert set(TABLE) == {"waiting", *ANNOUNCED}
    assert all(f"`{word}`" in PAGE.read_text() for word in (*TABLE, *ANNOUNCED.values()))


def test_the_diagram_names_events_in_words() -> None:
    assert "    backoff --> starting: start asked, restart asked, timer fired\n" in mermaid()
